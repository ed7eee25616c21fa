const NEEDS_QUOTES = /[",\r\n]/;
/** A spreadsheet takes a text that begins so for a formula; with a tab before it, it is shown as it is. */
const FORMULA = /^[=+@\t\r]|^-(?!\d+$)/;

/** One line of comma-separated values (RFC 4180), without its end. */
export function csvLine(values: readonly string[]): string {
  return values.map(quoted).join(",");
}

function quoted(value: string): string {
  const text = FORMULA.test(value) ? `\t${value}` : value;
  return NEEDS_QUOTES.test(text) || text !== value ? `"${text.replaceAll('"', '""')}"` : text;
}
