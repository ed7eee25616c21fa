import { describeWalk } from "./format-members-fixture.js";
import type { MemberWalk } from "./format-members-fixture.js";

const SCHEMA = { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false };
const DECLARATION = { name: "look", parametersJsonSchema: SCHEMA };
const TOOLS = [{ functionDeclarations: [DECLARATION] }];
const HI = { role: "user", parts: [{ text: "Hi" }] };
const CALL = { functionCall: { name: "look", args: { a: "b" } } };
const PNG = { mimeType: "image/png", data: "iVBORw0KGgo=" };

type Members = Readonly<Record<string, unknown>>;
type Rest = Pick<MemberWalk, "type" | "place" | "rows"> & Partial<MemberWalk>;

/** Fates: openai, then anthropic. */
const walk = (rest: Rest) => {
  describeWalk({ from: "gemini.generate", targets: ["openai.chat", "anthropic.messages"], sdk: "gemini", ...rest });
};

/** Where the SDK writes a member of its config on the wire. */
const BESIDE_CONFIG = new Set([
  "cachedContent",
  "contents",
  "continuationToken",
  "labels",
  "model",
  "safetySettings",
  "serviceTier",
  "store",
  "systemInstruction",
  "system_instruction",
  "toolConfig",
  "tools",
]);

/** Members of the SDK's config that never reach this API: they steer the SDK or belong to the cloud platform. */
const NOT_ON_THE_WIRE = [
  "abortSignal",
  "audioTimestamp",
  "automaticContinuation",
  "automaticFunctionCalling",
  "generationOutputConfig",
  "httpOptions",
  "modelArmorConfig",
  "modelSelectionConfig",
  "routingConfig",
].map((member) => [member, {}, new RegExp(`has no generationConfig.${member}`)] as const);

walk({
  type: "GenerateContentConfig",
  extra: ["contents", "model", "system_instruction", "frobnicate"],
  place: (members) => {
    const entries = Object.entries(members);
    const beside = entries.filter(([name]) => BESIDE_CONFIG.has(name));
    const inside = entries.filter(([name]) => !BESIDE_CONFIG.has(name));
    return {
      contents: [HI],
      tools: TOOLS,
      ...Object.fromEntries(beside),
      generationConfig: Object.fromEntries(inside),
    };
  },
  rows: [
    ...NOT_ON_THE_WIRE,
    ["contents", [{ parts: [{ text: "Ho" }] }], "carried"],
    ["contents", [HI, { role: "model", parts: [{ text: "Hm" }] }], /ends with the assistant's own words/],
    ["contents", "Hi", /contents is not an object/],
    ["contents", { parts: { text: "Ho" } }, "carried"],
    ["model", "cheap", "left"],
    ["serviceTier", "standard", "left"],
    ["serviceTier", "flex", /has no serviceTier/],
    ["systemInstruction", { parts: [{ text: "Be brief." }] }, "carried"],
    ["systemInstruction", { parts: [{ inlineData: PNG }] }, /system instructions other than text/],
    ["system_instruction", { parts: [{ text: "Be brief." }] }, "carried"],
    ["temperature", 0.5, "carried"],
    ["temperature", 1.5, "carried", /temperature 1.5 is outside/],
    ["topP", 0.5, "carried"],
    ["topK", 5, /openai has no top_k/, "carried"],
    ["candidateCount", 1, "left"],
    ["candidateCount", 2, "carried", /several answers/],
    ["maxOutputTokens", 7, "carried"],
    ["stopSequences", ["END"], "carried"],
    ["stopSequences", ["a", "b", "c", "d", "e"], /4 stop sequences at most/, "carried"],
    ["responseLogprobs", false, "left"],
    ["responseLogprobs", true, /generationConfig.responseLogprobs/],
    ["logprobs", 2, /generationConfig.logprobs/],
    ["presencePenalty", 0.5, "carried", /anthropic has no presence_penalty/],
    ["frequencyPenalty", 0.5, "carried", /anthropic has no frequency_penalty/],
    ["seed", 7, "carried", /anthropic has no seed/],
    ["responseMimeType", "text/plain", "left"],
    ["responseMimeType", "application/json", "carried", /JSON output without a schema/],
    ["responseMimeType", "text/x.enum", /answers of type text\/x.enum/],
    ["responseSchema", { type: "OBJECT" }, /answers of type text\/plain/],
    ["responseJsonSchema", SCHEMA, /answers of type text\/plain/],
    ["safetySettings", [{ category: "HARM_CATEGORY_HATE_SPEECH", threshold: "OFF" }], /has no safetySettings/],
    ["tools", [{ functionDeclarations: [{ name: "seek" }] }], "carried"],
    ["toolConfig", { functionCallingConfig: { mode: "ANY" } }, "carried"],
    ["labels", { team: "risk" }, /has no labels/],
    ["cachedContent", "cachedContents/1", /has no cachedContent/],
    ["responseModalities", ["TEXT"], "left"],
    ["responseModalities", ["IMAGE"], /answers other than text/],
    ["mediaResolution", "MEDIA_RESOLUTION_LOW", /generationConfig.mediaResolution/],
    ["speechConfig", {}, /generationConfig.speechConfig/],
    ["thinkingConfig", { thinkingBudget: 0 }, "carried"],
    ["audioTranscriptionConfig", {}, /generationConfig.audioTranscriptionConfig/],
    ["imageConfig", {}, /generationConfig.imageConfig/],
    ["enableEnhancedCivicAnswers", true, /generationConfig.enableEnhancedCivicAnswers/],
    ["continuationToken", "t", /has no continuationToken/],
    ["store", false, "left"],
    ["store", true, /has no store/],
    ["frobnicate", 1, /generationConfig.frobnicate/],
  ],
});
walk({
  type: "ThinkingConfig",
  place: (thinkingConfig) => ({ contents: [HI], generationConfig: { thinkingConfig } }),
  rows: [
    ["includeThoughts", false, "left"],
    ["includeThoughts", true, /thinkingConfig.includeThoughts/],
    ["thinkingBudget", 0, "carried"],
    ["thinkingBudget", -1, /adaptive thinking/, "carried"],
    ["thinkingBudget", 2048, /token budget/, "carried"],
    ["thinkingBudget", 512, /token budget/, /no thinking budget below 1024/],
    ["thinkingLevel", "LOW", "carried"],
    ["thinkingLevel", "high", "carried"],
    ["thinkingLevel", "MINIMAL", "carried", /reasoning effort minimal/],
    ["thinkingLevel", "THINKING_LEVEL_UNSPECIFIED", /thinkingLevel THINKING_LEVEL_UNSPECIFIED/],
  ],
});
const tool = (name: string) => [name, {}, new RegExp(`has no tools.${name}`)] as const;
walk({
  type: "Tool",
  place: (members) => ({ contents: [HI], tools: [members] }),
  rows: [
    ["functionDeclarations", [DECLARATION], "carried"],
    tool("retrieval"),
    tool("googleMaps"),
    tool("mcpServers"),
    tool("codeExecution"),
    tool("computerUse"),
    tool("enterpriseWebSearch"),
    tool("exaAiSearch"),
    tool("googleSearch"),
    tool("googleSearchRetrieval"),
    tool("parallelAiSearch"),
    tool("urlContext"),
    tool("fileSearch"),
  ],
});
walk({
  type: "FunctionDeclaration",
  base: { name: "look" },
  place: (members) => ({ contents: [HI], tools: [{ functionDeclarations: [members] }] }),
  rows: [
    ["behavior", "NON_BLOCKING", /functionDeclarations.behavior/],
    ["description", "Looks.", "carried"],
    ["name", "seek", "carried"],
    ["name", "a.b", /no tool named "a.b"/],
    ["parameters", { type: "OBJECT", properties: { a: { type: "STRING", nullable: true } } }, "carried"],
    ["parametersJsonSchema", SCHEMA, "carried"],
    ["response", { type: "STRING" }, /functionDeclarations.response/],
    ["responseJsonSchema", { type: "string" }, /functionDeclarations.responseJsonSchema/],
  ],
});
walk({
  type: "ToolConfig",
  place: (toolConfig) => ({ contents: [HI], tools: TOOLS, toolConfig }),
  rows: [
    ["functionCallingConfig", { mode: "NONE" }, "carried"],
    ["retrievalConfig", { languageCode: "de" }, /toolConfig.retrievalConfig/],
    ["includeServerSideToolInvocations", true, /toolConfig.includeServerSideToolInvocations/],
  ],
});
walk({
  type: "FunctionCallingConfig",
  place: (functionCallingConfig) => ({ contents: [HI], tools: TOOLS, toolConfig: { functionCallingConfig } }),
  base: { mode: "ANY" },
  rows: [
    ["allowedFunctionNames", ["look"], "carried"],
    ["allowedFunctionNames", ["look", "seek"], "carried", /some of the tools/],
    ["mode", "ANY", "left"],
    ["mode", "AUTO", "carried"],
    ["mode", "VALIDATED", /mode VALIDATED/],
    ["mode", "OTHER", /mode OTHER/],
    ["streamFunctionCallArguments", true, /streamFunctionCallArguments/],
  ],
});
walk({
  type: "Content",
  base: { parts: [{ text: "What?" }] },
  place: (content) => ({ contents: [content, { role: "model", parts: [{ text: "Hm" }] }, HI] }),
  rows: [
    ["parts", [{ text: "Why?" }], "carried"],
    ["parts", [], "carried", /no empty messages/],
    ["role", "user", "left"],
    ["role", "judge", /contents of role judge/],
  ],
});
const part = (name: string, value: unknown = {}) => [name, value, new RegExp(`has no contents.parts.${name}`)] as const;
walk({
  type: "Part",
  base: {},
  place: (members) => ({ contents: [HI, { role: "user", parts: [members] }] }),
  rows: [
    ["text", "Why?", "carried"],
    ["inlineData", PNG, "carried"],
    ["inlineData", { mimeType: "audio/mpeg", data: "SUQz" }, "carried", /input of type audio\/mp3/],
    ["functionCall", { name: "look" }, /function calls by the user/],
    ["functionResponse", { name: "look", response: {} }, /answers no function call/],
    ["thought", false, "left"],
    part("thought", true),
    part("thoughtSignature", "c2ln"),
    ["thoughtSignature", "skip_thought_signature_validator", "left"],
    part("mediaResolution"),
    part("toolCall"),
    part("toolResponse"),
    part("audioTranscription"),
    part("codeExecutionResult"),
    part("executableCode"),
    part("fileData", { fileUri: "https://example.org/cat.png" }),
    part("videoMetadata"),
    part("partMetadata"),
    part("mediaProcessing"),
    part("speechMetadata"),
  ],
});
walk({
  type: "Blob_2",
  base: PNG,
  place: (inlineData) => ({ contents: [{ parts: [{ inlineData }] }] }),
  rows: [
    ["data", "AAAA", "carried"],
    ["mimeType", "image/webp", "carried"],
    ["mimeType", "image/heic", /input of type image\/heic/],
    ["displayName", "cat", /inlineData.displayName/],
  ],
});
const afterCall = (call: Members, response: Members) => ({
  contents: [
    HI,
    { role: "model", parts: [{ functionCall: call }] },
    { role: "user", parts: [{ functionResponse: response }] },
  ],
});
walk({
  type: "FunctionCall",
  base: CALL.functionCall,
  place: (call) => afterCall(call, { name: "look", response: { output: "42" } }),
  rows: [
    ["args", { a: "c" }, "carried"],
    ["id", "c1", "carried"],
    ["name", "look", "left"],
    ["name", "seek", /the response of look answers no function call/],
    ["partialArgs", [], /functionCall.partialArgs/],
    ["willContinue", true, /functionCall.willContinue/],
  ],
});
walk({
  type: "FunctionResponse",
  base: { name: "look", response: { output: "42" } },
  place: (response) => afterCall(CALL.functionCall, response),
  rows: [
    ["id", "c9", /answers no function call/],
    ["name", "seek", /the response of seek answers no function call/],
    ["parts", [{ inlineData: PNG }], /functionResponse.parts/],
    ["response", { output: "43" }, "carried"],
    ["response", { temperature: 21 }, "carried"],
    ["response", { error: "no" }, /mark for a failed tool result/, "carried"],
    ["scheduling", "SILENT", /functionResponse.scheduling/],
    ["willContinue", true, /functionResponse.willContinue/],
  ],
});
walk({
  from: "gemini.embed",
  targets: ["openai.embeddings"],
  type: "EmbedContentConfig",
  extra: ["content", "requests", "model"],
  base: { content: { parts: [{ text: "Hi" }] } },
  place: (members) => ("requests" in members ? { requests: members["requests"] } : members),
  rows: [
    ["content", { role: "user", parts: [{ text: "Ho" }] }, "carried"],
    ["content", { parts: [{ text: "Hi" }, { text: "Ho" }] }, /other than one text part/],
    ["content", { parts: [{ inlineData: PNG }] }, /content.parts.inlineData/],
    ["requests", [{ model: "models/m", content: { parts: [{ text: "Hi" }] } }], "carried"],
    [
      "requests",
      [{ content: { parts: [{ text: "Hi" }] } }, { content: { parts: [{ text: "Ho" }] }, outputDimensionality: 4 }],
      /different dimensions/,
    ],
    ["requests", [{ content: { parts: [{ text: "Hi" }] }, taskType: "CLUSTERING" }], /requests.taskType/],
    ["model", "cheap", "left"],
    ["taskType", "CLUSTERING", /has no taskType/],
    ["title", "A", /has no title/],
    ["outputDimensionality", 64, "carried"],
    ["httpOptions", {}, /has no httpOptions/],
    ["abortSignal", {}, /has no abortSignal/],
    ["mimeType", "text/plain", /has no mimeType/],
    ["autoTruncate", true, /has no autoTruncate/],
    ["documentOcr", true, /has no documentOcr/],
    ["audioTrackExtraction", true, /has no audioTrackExtraction/],
  ],
});
