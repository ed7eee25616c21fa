import type { LineOutcome } from "../../ports/batch-provider.js";

/** Of longer texts every so many characters count: enough to tell two answers apart, cheap beside reading them. */
const READ_WHOLE_MAX = 4096;

/** 32 bits over what a result says (FNV-1a): equal for a repeat, different for nearly every other answer. */
export function outcomePrint(outcome: LineOutcome): number {
  const text = outcome.kind === "answered" ? outcome.bodyText : `${outcome.outcome}\n${outcome.message}`;
  const step = Math.max(1, Math.floor(text.length / READ_WHOLE_MAX));
  let print = (0x811c9dc5 ^ text.length) >>> 0;
  for (let at = 0; at < text.length; at += step) print = Math.imul(print ^ text.charCodeAt(at), 0x01000193);
  return print >>> 0;
}
