import type { SamplingMembers } from "../sampling.js";

/**
 * Members that no answer depends on: the model is chosen by the route, the answer comes whole, caching is a matter of cost that each
 * provider handles in its own way.
 */
export const OPERATIONAL = [
  "model",
  "stream",
  "stream_options",
  "prompt_cache_key",
  "prompt_cache_options",
  "prompt_cache_retention",
] as const;

/** Source: OpenAI API specification, CreateChatCompletionRequest, 2026-08-21. A seed is a whole number of 64 bits. */
export const OPENAI_SAMPLING: SamplingMembers = {
  temperature: { name: "temperature", min: 0, max: 2 },
  topP: { name: "top_p", min: 0, max: 1 },
  topK: null,
  seed: { name: "seed", min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER },
  frequencyPenalty: { name: "frequency_penalty", min: -2, max: 2 },
  presencePenalty: { name: "presence_penalty", min: -2, max: 2 },
};

/** Most stop sequences. Source: as above. */
export const STOP_MAX = 4;

/** Kinds of data inside a message. Sources: OpenAI guides on vision, PDF files and audio, 2026-08; GIF may not be animated. */
export const IMAGE_TYPES: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);
export const DOCUMENT_TYPE = "application/pdf";
/** Media type of each audio format. */
export const AUDIO_TYPES = { wav: "audio/wav", mp3: "audio/mp3" } as const;

/** A tool call's id as requests take it. */
export const CALL_ID_CHARS_MAX = 40;

export const FUNCTION_NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** What ids of chat completions begin with. */
export const ID_PREFIX = "chatcmpl-";
