import { z } from "zod";

/**
 * Building blocks of the config schema. Each number carries its bounds, its default and the reason for both in its description, so that
 * the published JSON Schema is the reference. Texts may hold `${NAME}`: the published schema must accept the file as it is written,
 * while the gateway checks it after the values were put in.
 */

const DAY_MS = 86_400_000;

export const SECOND_MS = 1000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const KIB = 1024;
export const MIB = 1_048_576;
export const GIB = 1_073_741_824;
export { DAY_MS };

interface NumberBounds {
  readonly min: number;
  readonly max: number;
  readonly default: number;
  /** A sentence for the reader of the config: what the number does and why the default is what it is. */
  readonly why: string;
}

/** A whole number with bounds and a default. */
export function integer(bounds: NumberBounds) {
  const error = `expected a whole number from ${String(bounds.min)} to ${String(bounds.max)}`;
  return z
    .int({ error })
    .min(bounds.min, { error })
    .max(bounds.max, { error })
    .default(bounds.default)
    .describe(bounds.why);
}

/** A number between `min` and `max`, both included, with a default. */
export function fraction(bounds: NumberBounds) {
  const error = `expected a number from ${String(bounds.min)} to ${String(bounds.max)}`;
  return z
    .number({ error })
    .min(bounds.min, { error })
    .max(bounds.max, { error })
    .default(bounds.default)
    .describe(bounds.why);
}

/** A switch with a default. */
export function toggle(byDefault: boolean, why: string) {
  return z.boolean({ error: "expected true or false" }).default(byDefault).describe(why);
}

/** A text of the given form. `expected` completes the sentence "expected …". */
export function text(pattern: RegExp, expected: string, why: string) {
  const error = `expected ${expected}`;
  return z
    .string({ error })
    .regex(new RegExp(`^(?:[^]*\\$\\{[^]+\\}[^]*|${pattern.source})$`), { error })
    .describe(why);
}

/** One of a closed list of words. */
export function word<const Words extends readonly [string, ...string[]]>(words: Words, why: string) {
  return z.enum(words, { error: `expected one of ${words.join(", ")}` }).describe(why);
}

/** An amount of US dollars as decimal text: numbers in YAML are binary fractions and money is not. */
export function usd(why: string) {
  return text(/\d{1,9}(?:\.\d{1,9})?/, 'an amount in US dollars as quoted decimal text, such as "0.05"', why);
}

/** A calendar's; UTC when left out. Whether there is one of that name is not asked here. */
export function timeZone(why: string) {
  return text(/[A-Za-z0-9_+/-]{1,64}/, "a time zone's name, such as Europe/Berlin", why).default("UTC");
}

/** A section of fixed keys; what is not named here is refused. */
export function section<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, { error: sectionError });
}

/** A section that may be left out: every key of it has a default. */
export function optionalSection<Shape extends z.core.$ZodLooseShape>(shape: Shape, why: string) {
  return z
    .strictObject(shape, { error: sectionError })
    .prefault({} as never) // each key has a default, which the type of a generic shape can't tell
    .describe(why);
}

/** A map from names that the operator chooses to `value`. */
export function named<Value extends z.core.SomeType>(value: Value, name: RegExp, expected: string, why: string) {
  return z
    .record(z.string().regex(new RegExp(`^(?:${name.source})$`), { error: `expected ${expected}` }), value, {
      error: "expected a map from names to settings",
    })
    .describe(why);
}

function sectionError(issue: { readonly code: string | undefined }): string | undefined {
  return issue.code === "invalid_type" ? "expected a section with keys" : undefined;
}

export const NAME = /[A-Za-z0-9][A-Za-z0-9._-]{0,62}/;
export const NAME_EXPECTED =
  "a name of 1 to 63 letters, digits, dots, hyphens and underscores that begins with a letter or digit";
/** Kafka's own rule for topic names, less `.` and `..`, and short enough for the suffix `.dlq`. */
export const TOPIC_NAME = /(?!\.{1,2}$)[A-Za-z0-9._-]{1,240}/;
export const TOPIC_EXPECTED = "a topic name of 1 to 240 letters, digits, dots, hyphens and underscores";
