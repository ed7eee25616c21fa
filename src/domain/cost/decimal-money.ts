/**
 * Decimal text to integer nano-dollars, without a float in between: 0.1 + 0.2 must never decide about money.
 */

const DECIMAL = /^(\d{1,15})(?:\.(\d{1,30}))?(?:[eE]([+-]?\d{1,2}))?$/;
const NANO_DIGITS = 9;

/** A decimal number as `digits / 10^places`. */
export interface Decimal {
  readonly digits: bigint;
  readonly places: number;
}

/** Reads a decimal number that is not negative; null when the text is none. Exponents are there because JavaScript prints 1e-7 so. */
export function readDecimal(text: string): Decimal | null {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const fraction = match[2] ?? "";
  const places = fraction.length - Number(match[3] ?? "0");
  const digits = BigInt((match[1] ?? "") + fraction);
  return places >= 0 ? { digits, places } : { digits: digits * 10n ** BigInt(-places), places: 0 };
}

/** Dollars as decimal text to nano-dollars; null when the text is no amount, or finer than a nano-dollar. */
export function nanoUsdFromText(text: string): bigint | null {
  const decimal = readDecimal(text);
  if (decimal === null) return null;
  const shift = NANO_DIGITS - decimal.places;
  if (shift >= 0) return decimal.digits * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  return decimal.digits % divisor === 0n ? decimal.digits / divisor : null;
}
