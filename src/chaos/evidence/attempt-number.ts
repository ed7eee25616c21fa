const ATTEMPT_ID = /^[0-9a-v]{4}-([0-9a-v]{1,11})[0-9a-v]$/;

/**
 * The ledger's number in the id of an attempt or an execution as records, bills and providers bear it: four digits of the day, a hyphen, the
 * number, one check digit, all in base 32 (0-9, a-v). Null for other text. The check digit is not looked at: what it names has to be there.
 */
export function numberInId(text: string | null): number | null {
  const digits = text === null ? undefined : ATTEMPT_ID.exec(text)?.[1];
  return digits === undefined ? null : Number.parseInt(digits, 32);
}
