/**
 * The fields of POST /v1/chat/completions.
 * Source: OpenAI API specification of 2026-08-21 and the types of the official SDK 6.49, read 2026-11-24.
 */
import {
  anything,
  decimal,
  flag,
  freeObject,
  integer,
  listOf,
  mapOf,
  matching,
  oneOf,
  orNull,
  shape,
  stringOr,
  tagged,
  text,
} from "../engine/field-checks.js";
import type { FieldCheck } from "../engine/field-checks.js";

const TOOL_NAME = matching(/^[A-Za-z0-9_-]{1,64}$/);

const TEXT_PART = shape({ type: anything, text: text() });
const TEXT_PARTS = listOf(tagged("type", { text: TEXT_PART }), 1);
const USER_PARTS = listOf(
  tagged("type", {
    text: TEXT_PART,
    image_url: shape({ type: anything, image_url: shape({ url: text(1) }, { detail: oneOf("auto", "low", "high") }) }),
    input_audio: shape({ type: anything, input_audio: shape({ data: text(1), format: oneOf("wav", "mp3") }) }),
    file: shape({ type: anything, file: shape({}, { file_data: text(1), file_id: text(1), filename: text(1) }) }),
  }),
  1,
);
const ASSISTANT_PARTS = listOf(
  tagged("type", { text: TEXT_PART, refusal: shape({ type: anything, refusal: text() }) }),
  1,
);

const TOOL_CALL = shape({
  id: text(1),
  type: oneOf("function"),
  function: shape({ name: TOOL_NAME, arguments: text() }),
});

const SYSTEM_MESSAGE = shape({ role: anything, content: stringOr(TEXT_PARTS) }, { name: text(1) });

const MESSAGE = tagged("role", {
  developer: SYSTEM_MESSAGE,
  system: SYSTEM_MESSAGE,
  user: shape({ role: anything, content: stringOr(USER_PARTS) }, { name: text(1) }),
  assistant: shape(
    { role: anything },
    {
      content: orNull(stringOr(ASSISTANT_PARTS)),
      name: text(1),
      refusal: orNull(text()),
      tool_calls: listOf(TOOL_CALL, 1, 128),
      annotations: listOf(freeObject),
    },
  ),
  tool: shape({ role: anything, content: stringOr(TEXT_PARTS), tool_call_id: text(1) }),
});

const RESPONSE_FORMAT = tagged("type", {
  text: shape({ type: anything }),
  json_object: shape({ type: anything }),
  json_schema: shape({
    type: anything,
    json_schema: shape({ name: TOOL_NAME }, { description: text(), schema: freeObject, strict: orNull(flag) }),
  }),
});

const TOOL = shape({
  type: oneOf("function"),
  function: shape({ name: TOOL_NAME }, { description: text(), parameters: freeObject, strict: orNull(flag) }),
});

const TOOL_CHOICE = stringOr(
  shape({ type: oneOf("function"), function: shape({ name: TOOL_NAME }) }),
  oneOf("none", "auto", "required"),
);

/** Every field that may be null or left out. */
const OPTIONAL: Readonly<Record<string, FieldCheck>> = {
  frequency_penalty: decimal(-2, 2),
  logit_bias: mapOf(decimal(-100, 100), 1024),
  logprobs: flag,
  max_completion_tokens: integer(1),
  max_tokens: integer(1),
  metadata: mapOf(text(0, 512), 16, 64),
  modalities: listOf(oneOf("text"), 1),
  n: integer(1, 128),
  parallel_tool_calls: flag,
  presence_penalty: decimal(-2, 2),
  prompt_cache_key: text(),
  prompt_cache_retention: oneOf("in_memory", "24h"),
  reasoning_effort: oneOf("none", "minimal", "low", "medium", "high", "xhigh", "max"),
  response_format: RESPONSE_FORMAT,
  safety_identifier: text(0, 64),
  seed: integer(Number.MIN_SAFE_INTEGER),
  service_tier: oneOf("auto", "default", "flex", "scale", "priority"),
  stop: stringOr(listOf(text(1), 1, 4), text(1)),
  store: flag,
  stream: flag,
  stream_options: freeObject,
  temperature: decimal(0, 2),
  tool_choice: TOOL_CHOICE,
  tools: listOf(TOOL, 1, 128),
  top_logprobs: integer(0, 20),
  top_p: decimal(0, 1),
  user: text(),
  verbosity: oneOf("low", "medium", "high"),
};

/** The whole body. */
export const OPENAI_CHAT_BODY = shape(
  { model: text(1), messages: listOf(MESSAGE, 1, 2048) },
  Object.fromEntries(Object.entries(OPTIONAL).map(([name, check]) => [name, orNull(check)])),
);

export const OPENAI_CHAT_FIELDS: ReadonlySet<string> = new Set(["model", "messages", ...Object.keys(OPTIONAL)]);

/** Fields the provider has and the simulator does not play: refused aloud rather than ignored. */
export const OPENAI_CHAT_NOT_SIMULATED: ReadonlySet<string> = new Set([
  "audio",
  "function_call",
  "functions",
  "moderation",
  "prediction",
  "prompt_cache_options",
  "web_search_options",
]);
