/**
 * Parts of an amount in proportion to weights, in whole nano-dollars, that add up to it exactly: the first parts together always hold the
 * rounded share of their weights together, so each part is within one nano-dollar of its exact share and no remainder is left. Without any
 * weight the first part holds all.
 * @param total not negative. @param weights not negative, at least one.
 */
export function allocate(total: bigint, weights: readonly bigint[]): readonly bigint[] {
  const all = weights.reduce((sum, weight) => sum + weight, 0n);
  if (all === 0n) return weights.map((_, place) => (place === 0 ? total : 0n));
  let weighed = 0n;
  let given = 0n;
  return weights.map((weight) => {
    weighed += weight;
    const upTo = (total * weighed) / all;
    const part = upTo - given;
    given = upTo;
    return part;
  });
}
