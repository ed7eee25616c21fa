import { isJsonList } from "../json.js";
import { readEach, readMembers } from "../members.js";
import type { Members } from "../members.js";
import { camelCase } from "../snake-case.js";
import type { SamplingMembers } from "../sampling.js";

/** Members that no answer depends on: the model is chosen by the route. */
export const OPERATIONAL = ["model"] as const;

/** Source: Gemini API reference, GenerationConfig, 2026-08. A seed is a whole number of 32 bits. */
export const GEMINI_SAMPLING: SamplingMembers = {
  temperature: { name: "temperature", min: 0, max: 2 },
  topP: { name: "topP", min: 0, max: 1 },
  topK: { name: "topK", min: 0, max: Number.MAX_SAFE_INTEGER },
  seed: { name: "seed", min: -(2 ** 31), max: 2 ** 31 - 1 },
  frequencyPenalty: { name: "frequencyPenalty", min: -2, max: 2 },
  presencePenalty: { name: "presencePenalty", min: -2, max: 2 },
};

/** Most stop sequences and most candidates. Source: as above. */
export const STOP_MAX = 5;
export const CANDIDATES_MAX = 8;

/** Kinds of data inside a part. Sources: Gemini guides on images, documents and audio, 2026-08. */
export const DATA_TYPES: ReadonlySet<string> = new Set([
  "image/png",
  "image/jpeg",
  "image/webp",
  "image/heic",
  "image/heif",
  "application/pdf",
  "audio/wav",
  "audio/mp3",
]);

/** Source: types of @google/genai 2.32.0, FunctionDeclaration. */
export const FUNCTION_NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/;

/**
 * Gemini 3 refuses a function call in the history without the signature of its own thoughts. This stands in for it where the call came from
 * elsewhere. Source: Gemini guide on thought signatures, questions and answers, 2026-08.
 */
export const SIGNATURE_OF_OTHERS = "skip_thought_signature_validator";

/** An object member, read in either spelling. Null when it is absent. */
export function readInner<T>(members: Members, name: string, read: (inner: Members) => T): T | null {
  const value = members.take(name);
  return value === undefined ? null : readMembers(value, members.where(name), members.reasons, read, camelCase);
}

/** A list of objects, read in either spelling; as the API takes it, one object may stand for a list of one. */
export function readList<T>(members: Members, name: string, read: (inner: Members) => T | null): readonly T[] {
  const value = members.take(name);
  const list = isJsonList(value) ? value : value === undefined ? [] : [value];
  return readEach(list, members.where(name), members.reasons, read, camelCase);
}
