/** Nano-dollars as dollars with six decimals, rounded half up; for people, never for sums. */
export function dollars(nanoUsd: bigint): string {
  const sign = nanoUsd < 0n ? "-" : "";
  const micros = ((nanoUsd < 0n ? -nanoUsd : nanoUsd) + 500n) / 1000n;
  return `${sign}$${String(micros / 1_000_000n)}.${String(micros % 1_000_000n).padStart(6, "0")}`;
}
