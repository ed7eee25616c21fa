import { askedJsonSchema, readAnswerTexts } from "../../domain/format/expected-json.js";
import type { ProviderAnswer } from "../../ports/provider.js";
import type { CheckSchema } from "../../ports/schema-check.js";
import type { Work } from "./work.js";

/** In what an answer misses what its job expects, and what the attempt comes to by it. */
export interface Missed {
  readonly outcome: "bad_answer" | "content_refused";
  readonly message: string;
}

/** Checks an answer, which is in the job's format, against the job's `expect`. Null: nothing is missed. */
export function missedExpectation(work: Work, answer: ProviderAnswer, checkSchema: CheckSchema): Missed | null {
  const { expect } = work.policy;
  const { finishReason } = answer;
  if (expect.notEmpty && answer.empty && finishReason === "content_filter")
    return { outcome: "content_refused", message: "the provider's content rules kept the answer back" };
  if (answer.unfit !== undefined) return bad(`the answer can't be told as ${work.format}: ${answer.unfit}`);
  if (expect.notEmpty && answer.empty && finishReason !== "refusal")
    return bad("the answer is empty; the job expects text, a tool call or a vector");
  if (expect.complete && finishReason === "length")
    return bad("the answer was cut at its output limit; the job expects a complete one");
  const missed = expect.jsonSchema && finishReason !== "refusal" ? missedJson(work, answer, checkSchema) : null;
  return missed === null ? null : bad(missed);
}

function bad(message: string): Missed {
  return { outcome: "bad_answer", message };
}

const NOT_JSON = "the answer is not JSON; the job expects what its body asks for, JSON text";

/**
 * Only jobs that expect it come here, so reading both bodies once more costs the others nothing. An answer of tool calls has no text to
 * check; one whose schema can't be used is only checked to be JSON, since no other answer would do better.
 */
function missedJson(work: Work, answer: ProviderAnswer, checkSchema: CheckSchema): string | null {
  const asked = askedJsonSchema(work.format, work.bodyText);
  if (asked.kind === "text") return null;
  const texts = readAnswerTexts(work.format, answer.bodyText);
  if (texts.length === 0) return answer.empty ? NOT_JSON : null;
  for (const text of texts) {
    const value = parsed(text);
    if (value === undefined) return NOT_JSON;
    if (asked.kind === "json") continue;
    const verdict = checkSchema(asked.schema, value);
    if (verdict.kind === "misses")
      return `the answer does not keep to the schema that the body asks for: ${verdict.where}`;
  }
  return null;
}

/** Undefined, which no JSON text stands for, when it is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
