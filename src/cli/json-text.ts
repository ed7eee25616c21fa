/** One line of JSON; amounts of money, which JSON numbers can't hold, as text. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item));
}
