import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { translateRequest } from "../../src/domain/format/translate.js";
import { describeWalk } from "./format-members-fixture.js";
import type { MemberWalk } from "./format-members-fixture.js";

const SCHEMA = { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false };
const TOOL = { name: "look", input_schema: SCHEMA };
const HI = { role: "user", content: "Hi" };
const CALL = { type: "tool_use", id: "toolu_a", name: "look", input: { a: "b" } };
const PNG = { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" };
const PDF = { type: "base64", media_type: "application/pdf", data: "JVBERi0=" };
const CACHED = { type: "ephemeral", ttl: "1h" };

type Rest = Pick<MemberWalk, "type" | "place" | "rows"> & Partial<MemberWalk>;

/** Fates: openai, then gemini. */
const walk = (rest: Rest) => {
  describeWalk({
    from: "anthropic.messages",
    targets: ["openai.chat", "gemini.generate"],
    sdk: "anthropic.messages",
    ...rest,
  });
};

walk({
  type: "MessageCreateParamsBase",
  // Of version 2023-06-01 of the API, which this SDK's types are not of.
  extra: ["temperature", "top_p", "top_k", "frobnicate"],
  place: (members) => ({ max_tokens: 9, messages: [HI], tools: [TOOL], ...members }),
  rows: [
    ["max_tokens", 7, "carried"],
    ["max_tokens", 0, /max_tokens 0/],
    ["messages", [{ role: "user", content: "Ho" }], "carried"],
    ["messages", [HI, { role: "assistant", content: "Hm" }], /ends with the assistant's own words/],
    ["model", "cheap", "left"],
    ["cache_control", CACHED, "left"],
    ["container", "container_1", /has no container/],
    ["diagnostics", { previous_message_id: "msg_1" }, /has no diagnostics/],
    ["inference_geo", "eu", /has no inference_geo/],
    ["metadata", { user_id: "u1" }, "carried", /end user/],
    ["metadata", { order: "17" }, /has no metadata.order/],
    ["output_config", { format: { type: "json_schema", schema: SCHEMA } }, "carried"],
    ["output_config", { effort: "low" }, "carried"],
    ["output_config", { effort: "max" }, "carried", /gemini has no reasoning effort max/],
    ["output_config", { effort: "huge" }, /has no effort huge/],
    ["service_tier", "auto", "left"],
    ["service_tier", "standard_only", "left"],
    ["speed", "standard", "left"],
    ["speed", "fast", /has no speed/],
    ["stop_sequences", ["END"], "carried"],
    ["stop_sequences", ["a", "b", "c", "d", "e"], /4 stop sequences at most/, "carried"],
    ["stop_sequences", ["a", 1], /stop_sequences is not a list of texts/],
    ["stream", true, "left"],
    ["system", "Be brief.", "carried"],
    ["system", [{ type: "text", text: "Be brief.", cache_control: CACHED }], "carried"],
    ["thinking", { type: "adaptive" }, /openai has no adaptive thinking/, "carried"],
    ["tool_choice", { type: "any" }, "carried"],
    ["tools", [{ ...TOOL, description: "Looks." }], "carried"],
    ["tools", [{ type: "web_search_20250305", name: "web_search" }], /tools of type web_search_20250305/],
    ["user_profile_id", "p1", /has no user_profile_id/],
    ["workspace_id", "w1", /has no workspace_id/],
    ["temperature", 0.5, "carried"],
    ["top_p", 0.5, "carried"],
    ["top_k", 5, /openai has no top_k/, "carried"],
    ["frobnicate", 1, /has no frobnicate/],
    ["frobnicate", null, "left"],
  ],
});
walk({
  type: "OutputConfig",
  base: { format: { type: "json_schema", schema: SCHEMA } },
  place: (output_config) => ({ messages: [HI], output_config }),
  rows: [
    ["effort", "medium", "carried"],
    ["effort", "xhigh", "carried", /reasoning effort xhigh/],
    ["format", { type: "json_schema", schema: { type: "object" } }, "carried"],
    ["format", { type: "grammar", schema: SCHEMA }, /output_config.format.type/],
  ],
});
for (const [type, thinking, toOpenai] of [
  ["ThinkingConfigAdaptive", { type: "adaptive" }, /adaptive thinking/],
  ["ThinkingConfigDisabled", { type: "disabled" }, "left"],
  ["ThinkingConfigEnabled", { type: "enabled", budget_tokens: 2048 }, /token budget/],
] as const) {
  const budget = type === "ThinkingConfigEnabled";
  walk({
    type,
    base: thinking,
    place: (members) => ({ messages: [HI], thinking: members }),
    rows: [
      ["type", thinking.type, toOpenai, "left"],
      ...(budget ? ([["budget_tokens", 4096, /token budget/, "carried"]] as const) : []),
      ...(type === "ThinkingConfigDisabled"
        ? []
        : ([
            ["display", "omitted", toOpenai, "left"],
            ["display", "summarized", /has no thinking.display/],
          ] as const)),
    ],
  });
}
walk({
  type: "ThinkingConfigBetweenTools",
  place: (members) => ({ messages: [HI], thinking: members }),
  rows: [["type", "between_tools", /thinking between_tools/]],
});
walk({
  type: "Tool",
  base: TOOL,
  place: (members) => ({ messages: [HI], tools: [members] }),
  rows: [
    ["input_schema", { type: "object", properties: {} }, "carried"],
    ["name", "seek", "carried"],
    ["name", "a".repeat(65), /openai takes no tool named/, "carried"],
    ["allowed_callers", ["code_execution_20260120"], /tools.allowed_callers/],
    ["cache_control", CACHED, "left"],
    ["defer_loading", false, "left"],
    ["defer_loading", true, /tools.defer_loading/],
    ["description", "Looks.", "carried"],
    ["eager_input_streaming", true, "left"],
    ["input_examples", [{ a: "b" }], /tools.input_examples/],
    ["strict", true, "carried", /strict tools/],
    ["type", "custom", "left"],
    ["type", "bash_20250124", /tools of type bash_20250124/],
  ],
});
for (const [type, choice] of [
  ["ToolChoiceAuto", { type: "auto" }],
  ["ToolChoiceAny", { type: "any" }],
  ["ToolChoiceTool", { type: "tool", name: "look" }],
] as const) {
  walk({
    type,
    base: choice,
    place: (tool_choice) => ({ messages: [HI], tools: [TOOL], tool_choice }),
    rows: [
      ["type", choice.type, "left"],
      ["type", "maybe", /tool_choice maybe/],
      ["disable_parallel_tool_use", false, "left"],
      ["disable_parallel_tool_use", true, "carried", /parallel tool calls/],
      ...(type === "ToolChoiceTool" ? ([["name", "seek", "carried"]] as const) : []),
    ],
  });
}
walk({
  type: "ToolChoiceNone",
  place: (tool_choice) => ({ messages: [HI], tools: [TOOL], tool_choice }),
  rows: [["type", "none", "carried"]],
});

const inUser = (block: Readonly<Record<string, unknown>>) => ({
  messages: [{ role: "user", content: [{ type: "text", text: "Hi" }, block] }],
});
const inAssistant = (block: Readonly<Record<string, unknown>>) => ({
  messages: [HI, { role: "assistant", content: [block] }, HI],
});
walk({
  type: "TextBlockParam",
  base: { type: "text", text: "What?" },
  place: inUser,
  rows: [
    ["text", "Why?", "carried"],
    ["type", "text", "left"],
    ["cache_control", CACHED, "left"],
    ["citations", [{ type: "char_location" }], /content.citations/],
  ],
});
walk({
  type: "ImageBlockParam",
  base: { type: "image", source: PNG },
  place: inUser,
  rows: [
    ["source", { ...PNG, media_type: "image/webp" }, "carried"],
    ["source", { ...PNG, media_type: "image/gif" }, "carried", /input of type image\/gif/],
    ["source", { type: "url", url: "https://example.org/cat.png" }, "carried", /gemini fetches no image/],
    ["source", { type: "file", file_id: "file_1" }, /image whose source is file/],
    ["type", "image", "left"],
    ["cache_control", CACHED, "left"],
    ["transformations", { oversized_image: "error" }, /content.transformations/],
  ],
});
walk({
  type: "DocumentBlockParam",
  base: { type: "document", source: PDF },
  place: inUser,
  rows: [
    ["source", { ...PDF, data: "AAAA" }, "carried"],
    ["source", { type: "text", media_type: "text/plain", data: "Hi" }, /document whose source is text/],
    ["source", { type: "url", url: "https://example.org/a.pdf" }, /document whose source is url/],
    ["source", { type: "file", file_id: "file_1" }, /document whose source is file/],
    ["type", "document", "left"],
    ["cache_control", CACHED, "left"],
    ["citations", { enabled: true }, /content.citations/],
    ["context", "From the shop.", /content.context/],
    ["title", "Bill", /content.title/],
  ],
});
walk({
  type: "ToolUseBlockParam",
  base: CALL,
  place: (block) => inAssistant(block),
  rows: [
    ["id", "toolu_b", "carried"],
    ["input", { a: "c" }, "carried"],
    ["input", "a", /content.input is not an object/],
    ["name", "seek", "carried"],
    ["type", "tool_use", "left"],
    ["cache_control", CACHED, "left"],
    ["caller", { type: "direct" }, "left"],
    ["caller", { type: "code_execution_20260120", tool_id: "t" }, /content.caller/],
    ["caller", { type: "code_execution_20260120" }, /content.caller.type/],
    ["toolset_name", "browser", /content.toolset_name/],
  ],
});
walk({
  type: "ToolResultBlockParam",
  base: { type: "tool_result", tool_use_id: "toolu_a", content: "42" },
  place: (block) => ({ messages: [HI, { role: "assistant", content: [CALL] }, { role: "user", content: [block] }] }),
  rows: [
    ["tool_use_id", "toolu_b", "carried", /the tool result toolu_b answers no call/],
    ["type", "tool_result", "left"],
    ["cache_control", CACHED, "left"],
    ["content", [{ type: "text", text: "43" }], "carried"],
    ["content", [{ type: "image", source: PNG }], /content.content.type image/],
    ["is_error", true, /mark for a failed tool result/, "carried"],
    ["is_error", false, "left"],
    ["toolset_name", "browser", /content.toolset_name/],
  ],
});
for (const [type, role, fate] of [
  ["UserMessageParam", "user", "left"],
  ["AssistantMessageParam", "assistant", "left"],
  ["SystemMessageParam", "system", "left"],
] as const) {
  walk({
    type,
    base: { role, content: "Hm" },
    place: (members) => ({
      messages: [{ role: "user", content: "So" }, members, { role: "assistant", content: "Hm" }, HI],
    }),
    rows: [
      ["role", role, fate],
      ["content", [{ type: "text", text: "Ho" }], "carried"],
    ],
  });
}

describe("kinds of content", () => {
  const text = readFileSync("node_modules/@anthropic-ai/sdk/resources/messages/messages.d.ts", "utf8");
  const union = /export type ContentBlockParam = ([^;]+);/.exec(text)?.[1] ?? "";
  const kinds = union.split("|").map((name) => {
    const block = new RegExp(`export interface ${name.trim()} \\{[\\s\\S]*?\\n {4}type: '(\\w+)'`).exec(text);
    return block?.[1] ?? "";
  });
  const carried = new Set(["text", "image", "document", "tool_use", "tool_result"]);

  test("are known to the SDK", () => {
    expect(kinds).toEqual(expect.arrayContaining([...carried, "thinking", "server_tool_use"]));
  });

  test.each(kinds.filter((kind) => !carried.has(kind)))("%s is a reason in either speaker's words", (type) => {
    for (const body of [inUser({ type }), inAssistant({ type })])
      for (const target of ["openai.chat", "gemini.generate"] as const) {
        const reasons = [expect.stringMatching(new RegExp(`has no messages.content.type ${type}`))];
        const result = translateRequest("anthropic.messages", target, JSON.stringify(body));
        expect(result).toEqual({ kind: "not_carried", reasons: expect.arrayContaining(reasons) });
      }
  });
});
