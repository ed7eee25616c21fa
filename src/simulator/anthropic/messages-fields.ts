/**
 * The fields of POST /v1/messages.
 * Source: Anthropic API documentation of 2026-09 and the types of the official SDK 1.13, read 2026-11-24.
 */
import {
  anything,
  decimal,
  flag,
  freeObject,
  integer,
  listOf,
  matching,
  oneOf,
  orNull,
  shape,
  stringOr,
  tagged,
  text,
} from "../engine/field-checks.js";
import type { FieldCheck } from "../engine/field-checks.js";

const CACHE_CONTROL = orNull(shape({ type: oneOf("ephemeral") }, { ttl: oneOf("5m", "1h") }));
const TOOL_NAME = matching(/^[A-Za-z0-9_-]{1,128}$/);

const TEXT_BLOCK = shape(
  { type: anything, text: text(1) },
  { cache_control: CACHE_CONTROL, citations: orNull(listOf(freeObject)) },
);
const IMAGE_BLOCK = shape(
  {
    type: anything,
    source: tagged("type", {
      base64: shape({
        type: anything,
        media_type: oneOf("image/jpeg", "image/png", "image/gif", "image/webp"),
        data: text(1),
      }),
      url: shape({ type: anything, url: text(1) }),
    }),
  },
  { cache_control: CACHE_CONTROL },
);
const DOCUMENT_BLOCK = shape(
  { type: anything, source: freeObject },
  { cache_control: CACHE_CONTROL, citations: orNull(freeObject), context: orNull(text()), title: orNull(text()) },
);

const TOOL_RESULT_BLOCK = shape(
  { type: anything, tool_use_id: text(1) },
  {
    content: stringOr(listOf(tagged("type", { text: TEXT_BLOCK, image: IMAGE_BLOCK, document: DOCUMENT_BLOCK }))),
    is_error: flag,
    cache_control: CACHE_CONTROL,
  },
);
const ASSISTANT_SHAPES = {
  text: TEXT_BLOCK,
  thinking: shape({ type: anything, thinking: text(), signature: text() }),
  redacted_thinking: shape({ type: anything, data: text() }),
  tool_use: shape(
    { type: anything, id: matching(/^[A-Za-z0-9_-]+$/), name: TOOL_NAME, input: freeObject },
    { cache_control: CACHE_CONTROL, caller: freeObject },
  ),
};
const SYSTEM = stringOr(listOf(tagged("type", { text: TEXT_BLOCK })));

function message(shapes: Readonly<Record<string, FieldCheck>>): FieldCheck {
  return shape({ role: anything, content: stringOr(listOf(tagged("type", shapes), 1), text(1)) });
}

function userMessage(textBlock: FieldCheck): FieldCheck {
  return message({
    text: textBlock,
    image: IMAGE_BLOCK,
    document: DOCUMENT_BLOCK,
    tool_result: TOOL_RESULT_BLOCK,
  });
}

const TOOL = shape(
  { name: TOOL_NAME, input_schema: freeObject },
  {
    type: orNull(oneOf("custom")),
    description: text(),
    cache_control: CACHE_CONTROL,
    strict: flag,
    input_examples: listOf(freeObject),
    eager_input_streaming: orNull(flag),
    defer_loading: flag,
    allowed_callers: listOf(oneOf("direct")),
  },
);
const TOOL_CHOICE = tagged("type", {
  auto: shape({ type: anything }, { disable_parallel_tool_use: flag }),
  any: shape({ type: anything }, { disable_parallel_tool_use: flag }),
  none: shape({ type: anything }),
  tool: shape({ type: anything, name: TOOL_NAME }, { disable_parallel_tool_use: flag }),
});

const DISPLAY = orNull(oneOf("summarized", "omitted"));

const OPTIONAL: Readonly<Record<string, FieldCheck>> = {
  cache_control: CACHE_CONTROL,
  metadata: shape({}, { user_id: orNull(text(0, 256)) }),
  output_config: shape(
    {},
    {
      effort: orNull(oneOf("low", "medium", "high", "xhigh", "max")),
      format: orNull(tagged("type", { json_schema: shape({ type: anything, schema: freeObject }) })),
    },
  ),
  service_tier: oneOf("auto", "standard_only"),
  stop_sequences: listOf(text(1), 0, 8191),
  stream: flag,
  system: SYSTEM,
  temperature: decimal(0, 1),
  thinking: tagged("type", {
    enabled: shape({ type: anything, budget_tokens: integer(1024) }, { display: DISPLAY }),
    disabled: shape({ type: anything }),
    adaptive: shape({ type: anything }, { display: DISPLAY }),
  }),
  tool_choice: TOOL_CHOICE,
  tools: listOf(TOOL, 0, 1024),
  top_k: integer(0),
  top_p: decimal(0, 1),
};

/** What counting takes of the fields beside model and messages. */
const COUNTED = ["cache_control", "output_config", "system", "thinking", "tool_choice", "tools"];

type Roles = Readonly<Record<string, FieldCheck>>;

/** The later version refuses documents in assistant turns and citations on the user's text, and allows system messages. */
const ROLES_BY_VERSION: ReadonlyMap<string, Roles> = new Map([
  [
    "2023-06-01",
    { user: userMessage(TEXT_BLOCK), assistant: message({ ...ASSISTANT_SHAPES, document: DOCUMENT_BLOCK }) },
  ],
  [
    "2026-10-21",
    {
      user: userMessage(shape({ type: anything, text: text(1) }, { cache_control: CACHE_CONTROL })),
      assistant: message(ASSISTANT_SHAPES),
      system: shape({ role: anything, content: SYSTEM }),
    },
  ],
]);

function messagesOf(roles: Roles): FieldCheck {
  return listOf(tagged("role", roles), 1, 100_000);
}

function byVersion(body: (roles: Roles) => FieldCheck): ReadonlyMap<string, FieldCheck> {
  return new Map([...ROLES_BY_VERSION].map(([version, roles]) => [version, body(roles)]));
}

/** The whole body by API version. */
export const ANTHROPIC_BODY_BY_VERSION = byVersion((roles) =>
  shape({ model: text(1), max_tokens: integer(1), messages: messagesOf(roles) }, OPTIONAL),
);

/** The body of a count by API version. */
export const ANTHROPIC_COUNT_BY_VERSION = byVersion((roles) =>
  shape(
    { model: text(1), messages: messagesOf(roles) },
    Object.fromEntries(Object.entries(OPTIONAL).filter(([name]) => COUNTED.includes(name))),
  ),
);

/** Fields the provider has and the simulator does not play: refused aloud rather than ignored. */
export const ANTHROPIC_NOT_SIMULATED: ReadonlySet<string> = new Set([
  "container",
  "diagnostics",
  "inference_geo",
  "speed",
  "user_profile_id",
  "workspace_id",
]);
