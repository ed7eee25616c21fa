/**
 * Writes a group; what is refused is halved until one is alone: one row that the ledger refuses must not hold its neighbours up.
 * @param tryWrite says why the ledger refuses the group; null: it is written.
 */
export async function writeHalving<Item>(
  items: readonly Item[],
  tryWrite: (items: readonly Item[]) => Promise<{ readonly error: unknown } | null>,
  refusedAlone: (item: Item, error: unknown) => Promise<void>,
): Promise<void> {
  const [first] = items;
  if (first === undefined) return;
  const refusal = await tryWrite(items);
  if (refusal === null) return;
  if (items.length === 1) {
    await refusedAlone(first, refusal.error);
    return;
  }
  const half = Math.ceil(items.length / 2);
  // Serial: each half is a transaction of its own.
  await writeHalving(items.slice(0, half), tryWrite, refusedAlone);
  await writeHalving(items.slice(half), tryWrite, refusedAlone);
}
