import { describeWalk } from "./format-members-fixture.js";
import type { MemberRow, MemberWalk } from "./format-members-fixture.js";

const SCHEMA = { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false };
const FUNCTION = { name: "look", parameters: SCHEMA };
const TOOLS = [{ type: "function", function: FUNCTION }];
const HI = { role: "user", content: "Hi" };
const CALL = { id: "call_a", type: "function", function: { name: "look", arguments: '{"a":"b"}' } };
const PNG = "data:image/png;base64,iVBORw0KGgo=";
const PDF = "data:application/pdf;base64,JVBERi0=";

type Rest = Pick<MemberWalk, "type" | "place" | "rows"> & Partial<MemberWalk>;

/** Fates: anthropic, then gemini. */
const walk = (rest: Rest) => {
  describeWalk({
    from: "openai.chat",
    targets: ["anthropic.messages", "gemini.generate"],
    sdk: "openai.chat",
    ...rest,
  });
};

walk({
  type: "ChatCompletionCreateParamsBase",
  place: (members) => ({ messages: [HI], tools: TOOLS, ...members }),
  rows: [
    ["messages", [{ role: "user", content: "Ho" }], "carried"],
    ["messages", [], /the conversation is empty/],
    ["messages", [HI, { role: "assistant", content: "Hm" }], /ends with the assistant's own words/],
    ["messages", "Hi", /messages is not a list/],
    ["model", "cheap", "left"],
    ["audio", { voice: "ash", format: "mp3" }, /has no audio/],
    ["frequency_penalty", 0.5, /anthropic has no frequency_penalty/, "carried"],
    ["frequency_penalty", 0, "left"],
    ["function_call", "auto", /has no function_call/],
    ["functions", [FUNCTION], /has no functions/],
    ["logit_bias", { "50256": -100 }, /anthropic has no logit_bias/, /gemini has no logit_bias/],
    ["logprobs", true, /has no logprobs/],
    ["logprobs", false, "left"],
    ["max_completion_tokens", 7, "carried"],
    ["max_tokens", 7, "carried"],
    ["max_tokens", "7", /max_tokens is not a number/],
    ["metadata", { order: "17" }, /has no metadata/],
    ["modalities", ["text"], "left"],
    ["modalities", ["text", "audio"], /modalities/],
    ["moderation", { model: "omni-moderation-latest" }, /has no moderation/],
    ["n", 1, "left"],
    ["n", 2, /several answers/, "carried"],
    ["n", 9, /several answers/, /8 answers at most/],
    ["parallel_tool_calls", true, "left"],
    ["parallel_tool_calls", false, "carried", /parallel tool calls/],
    ["prediction", { type: "content", content: "Hi" }, /has no prediction/],
    ["presence_penalty", 0.5, /anthropic has no presence_penalty/, "carried"],
    ["presence_penalty", 3, /anthropic has no presence_penalty/, /presence_penalty 3 is outside/],
    ["prompt_cache_key", "k", "left"],
    ["prompt_cache_options", { mode: "implicit" }, "left"],
    ["prompt_cache_retention", "24h", "left"],
    ["reasoning_effort", "none", "carried"],
    ["reasoning_effort", "minimal", /anthropic has no reasoning effort minimal/, "carried"],
    ["reasoning_effort", "low", "carried"],
    ["reasoning_effort", "high", "carried"],
    ["reasoning_effort", "xhigh", "carried", /gemini has no reasoning effort xhigh/],
    ["reasoning_effort", "max", "carried", /gemini has no reasoning effort max/],
    ["reasoning_effort", "huge", /has no reasoning_effort huge/],
    ["response_format", { type: "text" }, "left"],
    ["response_format", { type: "json_object" }, /JSON output without a schema/, "carried"],
    ["response_format", { type: "json_schema", json_schema: { name: "x", schema: SCHEMA } }, "carried"],
    ["response_format", { type: "grammar" }, /response_format grammar/],
    ["safety_identifier", "u1", "carried", /end user/],
    ["seed", 7, /anthropic has no seed/, "carried"],
    ["seed", 3_000_000_000, /anthropic has no seed/, /seed 3000000000 is outside/],
    ["service_tier", "auto", "left"],
    ["service_tier", "default", "left"],
    ["service_tier", "flex", /has no service_tier/],
    ["stop", "END", "carried"],
    ["stop", ["a", "b", "c", "d"], "carried"],
    ["stop", ["a", "b", "c", "d", "e", "f"], "carried", /5 stop sequences at most/],
    ["stop", ["\n"], /only white space/, "carried"],
    ["store", false, "left"],
    ["store", true, /has no store/],
    ["stream", true, "left"],
    ["stream_options", { include_usage: true }, "left"],
    ["temperature", 0.5, "carried"],
    ["temperature", 1.5, /temperature 1.5 is outside the 0 to 1 of anthropic/, "carried"],
    ["tool_choice", "auto", "left"],
    ["tool_choice", "none", "carried"],
    ["tool_choice", "required", "carried"],
    ["tool_choice", { type: "function", function: { name: "look" } }, "carried"],
    [
      "tool_choice",
      {
        type: "allowed_tools",
        allowed_tools: { mode: "auto", tools: TOOLS.map(() => ({ type: "function", function: { name: "look" } })) },
      },
      /some of the tools/,
      "carried",
    ],
    ["tool_choice", { type: "custom", custom: { name: "x" } }, /tool_choice custom/],
    ["tools", [{ type: "function", function: { name: "other" } }], "carried"],
    ["tools", [{ type: "custom", custom: { name: "x" } }], /tools of type custom/],
    ["top_logprobs", 2, /has no top_logprobs/],
    ["top_p", 0.5, "carried"],
    ["user", "u1", "carried", /end user/],
    ["verbosity", "low", /has no verbosity/],
    ["web_search_options", {}, /has no web_search_options/],
    ["frobnicate", 1, /has no frobnicate/],
    ["frobnicate", null, "left"],
  ],
  extra: ["frobnicate"],
});

const OF_PARTS: readonly MemberRow[] = [["prompt_cache_breakpoint", { mode: "explicit" }, "left"]];
const inPart = (members: Readonly<Record<string, unknown>>) => ({
  messages: [{ role: "user", content: [{ type: "text", text: "Hi" }, members] }],
});

walk({
  type: "ChatCompletionContentPartText",
  base: { type: "text", text: "What?" },
  place: inPart,
  rows: [["type", "text", "left"], ["type", "poem", /type poem/], ["text", "Why?", "carried"], ...OF_PARTS],
});
walk({
  type: "ChatCompletionContentPartImage",
  base: { type: "image_url", image_url: { url: PNG } },
  place: inPart,
  rows: [["type", "image_url", "left"], ["image_url", { url: PNG.replace("png", "jpeg") }, "carried"], ...OF_PARTS],
});
walk({
  type: "ImageURL",
  base: { url: PNG },
  place: (image_url) => inPart({ type: "image_url", image_url }),
  rows: [
    ["url", "data:image/webp;base64,UklGRg==", "carried"],
    ["url", PNG.replace("image/png", "IMAGE/PNG"), "left"],
    ["url", "data:image/gif;base64,R0lGODlh", "carried", /input of type image\/gif/],
    ["url", "data:image/heic;base64,AAAA", /input of type image\/heic/, "carried"],
    ["url", "https://example.org/cat.png", "carried", /gemini fetches no image/],
    ["url", "data:image/svg+xml,<svg/>", /neither a web address nor data/],
    ["detail", "auto", "left"],
    ["detail", "high", /image_url.detail/],
  ],
});
walk({
  type: "ChatCompletionContentPartInputAudio",
  base: { type: "input_audio", input_audio: { data: "UklGRg==", format: "wav" } },
  place: inPart,
  rows: [
    ["type", "input_audio", /input of type audio\/wav/, "left"],
    ["input_audio", { data: "UklGRg==", format: "mp3" }, /input of type audio\/mp3/, "carried"],
    ["input_audio", { data: "UklGRg==", format: "flac" }, /neither a web address nor data/],
    ["prompt_cache_breakpoint", { mode: "explicit" }, /input of type audio\/wav/, "left"],
  ],
});
const FILE = { filename: "a.pdf", file_data: PDF };
walk({
  type: "File.File",
  base: FILE,
  place: (file) => inPart({ type: "file", file }),
  rows: [
    ["file_data", "data:application/pdf;base64,AAAA", "carried"],
    ["file_data", "data:text/csv;base64,YQ==", /input of type text\/csv/],
    ["filename", "b.pdf", "left"],
    ["file_id", "file-1", /file.file_id/],
  ],
});

const inMessage = (members: Readonly<Record<string, unknown>>) => ({ messages: [members, HI] });
walk({
  type: "ChatCompletionUserMessageParam",
  base: { role: "user", content: "Hello" },
  place: (members) => ({ messages: [members, { role: "assistant", content: "Hm" }, HI] }),
  rows: [
    ["role", "user", "left"],
    ["role", "judge", /messages of role judge/],
    ["content", "Ho", "carried"],
    ["content", "", /no empty messages/],
    ["content", 7, /neither text nor a list/],
    ["name", "Ada", /messages.name/],
  ],
});
walk({
  type: "ChatCompletionSystemMessageParam",
  base: { role: "system", content: "Be brief." },
  place: inMessage,
  rows: [
    ["role", "developer", "left"],
    ["content", [{ type: "text", text: "Be kind." }], "carried"],
    ["content", "", "carried"],
    ["content", [{ type: "image_url", image_url: { url: PNG } }], /type image_url/],
    ["name", "boss", /messages.name/],
  ],
});
walk({
  type: "ChatCompletionDeveloperMessageParam",
  base: { role: "developer", content: "Be brief." },
  place: inMessage,
  rows: [
    ["role", "system", "left"],
    ["content", "Be kind.", "carried"],
    ["name", "boss", /messages.name/],
  ],
});
walk({
  type: "ChatCompletionAssistantMessageParam",
  base: { role: "assistant", content: "Hm" },
  place: (members) => ({ messages: [HI, members, { role: "user", content: "Go on" }] }),
  rows: [
    ["role", "assistant", "left"],
    ["content", [{ type: "refusal", refusal: "No." }], "carried"],
    ["refusal", "No.", "carried"],
    ["audio", { id: "audio_1" }, /messages.audio/],
    ["function_call", { name: "look", arguments: "{}" }, /messages.function_call/],
    ["name", "Bot", /messages.name/],
    ["tool_calls", [CALL], "carried"],
    ["tool_calls", [{ id: "c", type: "custom", custom: { name: "x", input: "y" } }], /tool calls of type custom/],
    ["tool_calls", [{ ...CALL, function: { name: "look", arguments: "[1]" } }], /arguments of the call of look/],
    ["tool_calls", [{ type: "function", function: CALL.function }], /has no id/],
  ],
});
walk({
  type: "ChatCompletionToolMessageParam",
  base: { role: "tool", content: "42", tool_call_id: "call_a" },
  place: (members) => ({ messages: [HI, { role: "assistant", tool_calls: [CALL] }, members] }),
  rows: [
    ["role", "tool", "left"],
    ["content", "43", "carried"],
    [
      "content",
      [
        { type: "text", text: "4" },
        { type: "text", text: "2" },
      ],
      "left",
    ],
    ["tool_call_id", "call_b", "carried", /the tool result call_b answers no call/],
  ],
});
walk({
  type: "ChatCompletionFunctionMessageParam",
  base: { role: "function", content: "42", name: "look" },
  place: inMessage,
  rows: [
    ["role", "function", /messages of role function/],
    ["content", "43", /messages of role function/],
    ["name", "look", /messages of role function/],
  ],
});
walk({
  type: "FunctionDefinition",
  sdk: "openai.shared",
  base: FUNCTION,
  place: (members) => ({ messages: [HI], tools: [{ type: "function", function: members }] }),
  rows: [
    ["name", "seek", "carried"],
    ["name", "look up", /no tool named "look up"/, /no function named "look up"/],
    ["description", "Looks.", "carried"],
    ["parameters", { type: "object", properties: {} }, "carried"],
    ["strict", true, "carried", /strict tools/],
    ["strict", false, "left"],
  ],
});
walk({
  type: "JSONSchema",
  sdk: "openai.shared",
  base: { name: "x", schema: SCHEMA },
  place: (json_schema) => ({ messages: [HI], response_format: { type: "json_schema", json_schema } }),
  rows: [
    ["name", "y", "left"],
    ["description", "A thing.", "carried"],
    ["schema", { ...SCHEMA, title: "T" }, "carried"],
    ["schema", { ...SCHEMA, maxProperties: 3 }, /maxProperties in a schema/, "carried"],
    ["strict", true, "left"],
  ],
});
walk({
  from: "openai.embeddings",
  targets: ["gemini.embed"],
  sdk: "openai.embeddings",
  type: "EmbeddingCreateParams",
  base: { input: "Hi" },
  place: (members) => members,
  rows: [
    ["input", ["Hi", "Ho"], "carried"],
    ["input", ["Hi"], "carried"],
    ["input", [1, 2], /input other than text/],
    ["input", [[1, 2]], /input other than text/],
    ["input", Array.from({ length: 101 }, () => "a"), /100 inputs at most/],
    ["model", "cheap", "left"],
    ["dimensions", 64, "carried"],
    ["encoding_format", "float", "left"],
    ["encoding_format", "base64", "left"],
    ["user", "u1", /end user/],
  ],
});
