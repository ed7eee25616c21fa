import type { Rename } from "./members.js";

/** Gemini's API takes its names in two spellings, `inlineData` and `inline_data`; we read both and write the first. */
export const camelCase: Rename = (name) =>
  name.replace(/([a-z0-9])_([a-z])/g, (_all, before: string, letter: string) => before + letter.toUpperCase());
