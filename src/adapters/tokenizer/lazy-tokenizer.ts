import { createRequire } from "node:module";
import type { CountTokens } from "../../domain/batch/estimate-tokens.js";

/** Text that looks like a tokenizer's own marks is text. */
const AS_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

const require = createRequire(import.meta.url);

/**
 * OpenAI's current encoding. Its table takes a quarter of a second and 60 MB, so it is loaded when something is first counted: most gateways
 * never see a prompt near a window. At once, not in the background: what is counted decides about routes, and must be the same each time.
 */
export function lazyTokenizer(): CountTokens {
  let encoding: typeof import("gpt-tokenizer/encoding/o200k_base") | null = null;
  return (text) => {
    encoding ??= require("gpt-tokenizer/encoding/o200k_base") as typeof import("gpt-tokenizer/encoding/o200k_base"); // what require gives has no type
    return encoding.countTokens(text, AS_TEXT);
  };
}
