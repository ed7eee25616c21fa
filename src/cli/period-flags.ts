import { InvalidArgumentError } from "commander";

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})$/;

/** Reads a flag's value as a time: a day, which begins at midnight UTC, or ISO 8601 with its offset. @returns milliseconds. */
export function timeValue(text: string): number {
  const ms = DAY.test(text) || TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw new InvalidArgumentError("Expected a day such as 2026-12-01 (UTC), or 2026-12-01T12:00:00Z.");
  return ms;
}

/** Reads a flag's value as several of a closed list of words, with commas between. */
export function wordsOf<const Words extends readonly string[]>(
  words: Words,
): (text: string) => readonly Words[number][] {
  return (text) => {
    const asked = [...new Set(text.split(",").map((word) => word.trim()))];
    return asked.map((word) => {
      const found = words.find((known) => known === word);
      if (found === undefined) throw new InvalidArgumentError(`Expected some of ${words.join(",")}.`);
      return found;
    });
  };
}
