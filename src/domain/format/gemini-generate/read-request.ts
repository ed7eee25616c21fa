import type { ChatRequest, OutputForm, Tool, ToolChoice } from "../chat-request.js";
import type { Json } from "../json.js";
import { readMembers } from "../members.js";
import type { Members } from "../members.js";
import { effortOf, GEMINI_EFFORTS } from "../reasoning.js";
import type { Reasoning } from "../reasoning.js";
import type { Reasons } from "../reasons.js";
import { NO_SAMPLING, readSampling } from "../sampling.js";
import { argumentsSchema } from "../schema.js";
import { camelCase } from "../snake-case.js";
import { GEMINI_SAMPLING, OPERATIONAL, readInner, readList } from "./members.js";
import { jsonSchemaOf } from "./openapi-schema.js";
import { readContents, readSystem } from "./read-contents.js";

/** The body of `POST /models/{model}:generateContent`. Null when it is no object; whatever else has no counterpart in the target is a reason. */
export function readGeminiRequest(body: Json, reasons: Reasons): ChatRequest | null {
  return readMembers(body, "", reasons, readBody, camelCase);
}

type Generation = Pick<ChatRequest, "output" | "stop" | "sampling" | "choices" | "maxOutputTokens" | "reasoning">;

const NO_GENERATION: Generation = {
  output: null,
  stop: [],
  sampling: NO_SAMPLING,
  choices: 1,
  maxOutputTokens: null,
  reasoning: null,
};

function readBody(members: Members): ChatRequest {
  members.ignore(OPERATIONAL);
  members.ignoreWhen("store", [false]);
  members.ignoreWhen("serviceTier", ["unspecified", "standard"]);
  return {
    system: readInner(members, "systemInstruction", readSystem) ?? [],
    turns: readContents(members),
    tools: readList(members, "tools", readTools).flat(),
    toolChoice: readInner(members, "toolConfig", readToolConfig),
    oneToolCall: false,
    endUser: null,
    ...(readInner(members, "generationConfig", readGeneration) ?? NO_GENERATION),
  };
}

function readGeneration(config: Members): Generation {
  config.ignoreWhen("responseLogprobs", [false]);
  for (const modality of config.texts("responseModalities"))
    if (modality.toUpperCase() !== "TEXT") config.reasons.missing("answers other than text (responseModalities)");
  return {
    output: readOutput(config),
    stop: config.texts("stopSequences"),
    sampling: readSampling(config, GEMINI_SAMPLING),
    choices: config.number("candidateCount") ?? 1,
    maxOutputTokens: config.number("maxOutputTokens"),
    reasoning: readInner(config, "thinkingConfig", readThinking),
  };
}

function readOutput(config: Members): OutputForm | null {
  const type = config.text("responseMimeType") ?? "text/plain";
  const openApi = config.object("responseSchema");
  const schema = config.object("responseJsonSchema") ?? (openApi === null ? null : jsonSchemaOf(openApi));
  if (schema !== null && type === "application/json") return { kind: "json_schema", schema };
  if (type === "application/json") return { kind: "json" };
  if (schema !== null || type !== "text/plain") config.reasons.missing(`answers of type ${type}`);
  return null;
}

/** Thoughts are never carried to another format, so whoever asks for them stays with Gemini. */
function readThinking(config: Members): Reasoning | null {
  config.ignoreWhen("includeThoughts", [false]);
  const budget = config.number("thinkingBudget");
  const level = config.text("thinkingLevel");
  if (budget !== null && level !== null) config.reasons.add("thinkingBudget and thinkingLevel are both set");
  if (level !== null) return readLevel(config, level);
  if (budget === null) return null;
  if (budget === 0) return { kind: "off" };
  return budget === -1 ? { kind: "auto" } : { kind: "budget", tokens: budget };
}

function readLevel(config: Members, level: string): Reasoning | null {
  const effort = effortOf(GEMINI_EFFORTS, level.toUpperCase());
  if (effort !== null) return { kind: "effort", effort };
  config.reasons.missing(`thinkingLevel ${level}`);
  return null;
}

function readTools(tool: Members): readonly Tool[] {
  return readList(tool, "functionDeclarations", (declaration) => {
    const openApi = declaration.object("parameters");
    const schema = declaration.object("parametersJsonSchema") ?? (openApi === null ? null : jsonSchemaOf(openApi));
    return {
      name: declaration.text("name") ?? "",
      description: declaration.text("description"),
      schema: argumentsSchema(schema),
      strict: false,
    };
  });
}

function readToolConfig(config: Members): ToolChoice | null {
  return readInner(config, "functionCallingConfig", (calling) => {
    const names = calling.texts("allowedFunctionNames");
    return choiceOf(calling.text("mode") ?? "AUTO", names, calling.reasons);
  });
}

function choiceOf(mode: string, names: readonly string[], reasons: Reasons): ToolChoice | null {
  const [name] = names;
  switch (mode) {
    case "NONE":
      return { kind: "none" };
    case "ANY":
      if (name === undefined) return { kind: "required" };
      return names.length === 1 ? { kind: "named", name } : { kind: "some", names, required: true };
    case "VALIDATED":
      if (name === undefined) reasons.missing("function calling mode VALIDATED");
      return { kind: "some", names, required: false };
    case "AUTO":
    case "MODE_UNSPECIFIED":
      if (name !== undefined) reasons.add("allowedFunctionNames have no meaning in mode AUTO");
      return null;
    default:
      reasons.missing(`function calling mode ${mode}`);
      return null;
  }
}
