/**
 * What the Gemini API refuses in a generateContent request whose fields are all right.
 * Source: the API reference of v1beta, the guides on thinking, function calling and structured output, and the words of
 * the API's own answers as users reported them (read 2026-11-26). A rule of the simulator's own says "not simulated".
 */
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { PricedModel } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { geminiError, invalidArgument, invalidField } from "./errors.js";
import { listAt, numberAt, objectAt, objectsAt, textAt } from "./json-reading.js";

/** What a rule is asked about. `message` is the name Google's validator gives the request. */
type Asked = { readonly request: JsonObject; readonly model: PricedModel; readonly message: string };

type Rule = (asked: Asked) => Refusal | null;

const FUNCTION_NAME = /^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$/;
const STOP_SEQUENCES_MAX = 5;
const CANDIDATES_MAX = 8;
const LOGPROBS_MAX = 20;
const PART_DATA = [
  "text",
  "inlineData",
  "fileData",
  "functionCall",
  "functionResponse",
  "executableCode",
  "codeExecutionResult",
];
const INLINE_TYPES = new Set(
  ["image/png image/jpeg image/webp image/heic image/heif application/pdf text/plain text/html text/css text/markdown"]
    .concat("text/csv text/xml text/rtf application/json audio/wav audio/mp3 audio/mpeg audio/aiff audio/aac audio/ogg")
    .concat("audio/flac video/mp4 video/mpeg video/mov video/quicktime video/avi video/webm video/wmv video/3gpp")
    .flatMap((line) => line.split(" ")),
);
const SCHEMA_TYPES = new Set(["application/json", "text/x.enum"]);
const NOT_SIMULATED_CONFIG = [
  "speechConfig",
  "imageConfig",
  "audioTranscriptionConfig",
  "enableEnhancedCivicAnswers",
  "responseLogprobs",
];
/** From which and up to which budget of thinking tokens, by the beginning of the model's name. */
const THINKING_BUDGETS: readonly (readonly [prefix: string, min: number, max: number, mayBeZero: boolean])[] = [
  ["gemini-2.5-pro", 128, 32_768, false],
  ["gemini-2.5-flash-lite", 512, 24_576, true],
  ["gemini-2.5-flash", 1, 24_576, true],
  ["gemini-3", 1, 32_768, false],
];

/** Levels of thinking by the beginning of the model's name, the longest first; a model of 3 that is not here takes all. */
const THINKING_LEVELS: readonly (readonly [prefix: string, levels: readonly string[]])[] = [
  ["gemini-2.", []],
  ["gemini-3.1-pro", ["LOW", "MEDIUM", "HIGH"]],
  ["gemini-3.8-flash", ["LOW", "MEDIUM", "HIGH"]],
];

function configOf(asked: Asked): JsonObject {
  return objectAt(asked.request, "generationConfig") ?? {};
}

function partProblem({ message }: Asked, part: JsonObject, path: string): Refusal | null {
  if (!PART_DATA.some((name) => part[name] !== undefined)) {
    return invalidField(message, `${path}.data`, "required oneof field 'data' must have one initialized field");
  }
  const inline = objectAt(part, "inlineData");
  const type = inline === null ? null : (textAt(inline, "mimeType") ?? "");
  if (type !== null && !INLINE_TYPES.has(type)) return invalidArgument(`Unsupported MIME type: ${type}`);
  const fileData = objectAt(part, "fileData");
  if (fileData !== null && (textAt(fileData, "fileUri") ?? "") === "") {
    return invalidField(message, `${path}.file_data.file_uri`, "file_uri must not be empty");
  }
  const named = objectAt(part, "functionCall") ?? objectAt(part, "functionResponse");
  if (named === null || (textAt(named, "name") ?? "") !== "") return null;
  const field = part["functionCall"] === undefined ? "function_response" : "function_call";
  return invalidField(message, `${path}.${field}.name`, "Name cannot be empty.");
}

function contentProblem(asked: Asked, content: JsonObject, path: string): Refusal | null {
  const parts = objectsAt(content, "parts");
  if (parts.length === 0)
    return invalidField(asked.message, `${path}.parts`, `${path.replace(/\[\d+\]$/, "")}.parts must not be empty.`);
  for (const [index, part] of parts.entries()) {
    const problem = partProblem(asked, part, `${path}.parts[${String(index)}]`);
    if (problem !== null) return problem;
  }
  return null;
}

const contentsRule: Rule = (asked) => {
  const contents = objectsAt(asked.request, "contents");
  if (contents.length === 0) return invalidField(asked.message, "contents", "contents is not specified");
  for (const [index, content] of contents.entries()) {
    const problem = contentProblem(asked, content, `contents[${String(index)}]`);
    if (problem !== null) return problem;
    if (!["", "user", "model"].includes(textAt(content, "role") ?? ""))
      return invalidArgument("Please use a valid role: user, model.");
  }
  const instruction = objectAt(asked.request, "systemInstruction");
  return instruction === null ? null : contentProblem(asked, instruction, "system_instruction");
};

function countOf(content: JsonObject | undefined, name: string): number {
  if (content === undefined) return 0;
  return objectsAt(content, "parts").filter((part) => part[name] !== undefined).length;
}

/** Each turn that calls functions is answered by the next one, response for call. */
const turnsRule: Rule = ({ request }) => {
  const contents = objectsAt(request, "contents");
  for (const [index, content] of contents.entries()) {
    const answered = countOf(content, "functionResponse");
    const called = index === 0 ? 0 : countOf(contents[index - 1], "functionCall");
    if (answered > 0 && called === 0)
      return invalidArgument("Please ensure that function response turn comes immediately after a function call turn.");
    if (called > 0 && answered !== called) {
      return invalidArgument(
        "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
      );
    }
  }
  return countOf(contents.at(-1), "functionCall") === 0
    ? null
    : invalidArgument("Please ensure that function call turn is followed by a function response turn.");
};

/** The sampling fields with what each may be; both ends belong to it. */
const RANGES: readonly (readonly [name: string, snake: string, min: number, max: number])[] = [
  ["temperature", "temperature", 0, 2],
  ["topP", "top_p", 0, 1],
  ["topK", "top_k", 1, Infinity],
  ["candidateCount", "candidate_count", 1, CANDIDATES_MAX],
  ["maxOutputTokens", "max_output_tokens", 1, Infinity],
  ["presencePenalty", "presence_penalty", -2, 2],
  ["frequencyPenalty", "frequency_penalty", -2, 2],
  ["logprobs", "logprobs", 0, LOGPROBS_MAX],
];

const rangesRule: Rule = (asked) => {
  const config = configOf(asked);
  for (const [name, snake, min, max] of RANGES) {
    const value = numberAt(config, name);
    if (value === null || (value >= min && value <= max)) continue;
    const what =
      max === Infinity ? "must be positive." : `must be in the range [${min.toFixed(1)}, ${max.toFixed(1)}].`;
    return invalidField(asked.message, `generation_config.${snake}`, `${snake} ${what}`);
  }
  if (listAt(config, "stopSequences").length > STOP_SEQUENCES_MAX) {
    const what = `at most ${String(STOP_SEQUENCES_MAX)} stop sequences may be given.`;
    return invalidField(asked.message, "generation_config.stop_sequences", what);
  }
  return null;
};

const modelLimitsRule: Rule = (asked) => {
  const { model } = asked;
  const config = configOf(asked);
  const refused = model.samplingParams ? undefined : ["temperature", "topP", "topK"].find((name) => name in config);
  if (refused !== undefined) return invalidArgument(`${refused} is not supported for models/${model.name}.`);
  const wanted = numberAt(config, "maxOutputTokens");
  const max = model.outputTokensMax;
  if (wanted === null || max === null || wanted <= max) return null;
  return invalidArgument(
    `Unable to submit request because it has a maxOutputTokens value of ${String(wanted)} but the supported range is ` +
      `from 1 (inclusive) to ${String(max + 1)} (exclusive). Update the value and try again.`,
  );
};

const schemaRule: Rule = (asked) => {
  const config = configOf(asked);
  const [schema, jsonSchema] = [config["responseSchema"], config["responseJsonSchema"]];
  if (schema !== undefined && jsonSchema !== undefined)
    return invalidArgument("Only one of response_schema and response_json_schema may be set.");
  const type = textAt(config, "responseMimeType") ?? "text/plain";
  if (type !== "text/plain" && !SCHEMA_TYPES.has(type)) {
    return invalidField(
      asked.message,
      "generation_config.response_mime_type",
      "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`.",
    );
  }
  if ((schema !== undefined || jsonSchema !== undefined) && !SCHEMA_TYPES.has(type)) {
    return invalidField(
      asked.message,
      "generation_config.response_mime_type",
      "response_schema is only allowed with response_mime_type `application/json` or `text/x.enum`.",
    );
  }
  if (jsonSchema !== undefined && !isObject(jsonSchema))
    return invalidField(asked.message, "generation_config.response_json_schema", "must be an object.");
  return schema === undefined ? null : schemaProblem(asked.message, schema, "generation_config.response_schema");
};

/** An object needs properties and a list needs items; every schema needs a type or alternatives. */
function schemaProblem(message: string, schema: unknown, path: string): Refusal | null {
  if (!isObject(schema)) return null;
  const type = textAt(schema, "type") ?? "TYPE_UNSPECIFIED";
  if (type === "TYPE_UNSPECIFIED" && schema["anyOf"] === undefined)
    return invalidField(message, `${path}.type`, "must be specified");
  if (type === "OBJECT" && Object.keys(objectAt(schema, "properties") ?? {}).length === 0)
    return invalidField(message, `${path}.properties`, "should be non-empty for OBJECT type");
  if (type === "ARRAY" && !isObject(schema["items"])) return invalidField(message, `${path}.items`, "missing field.");
  const properties = Object.entries(objectAt(schema, "properties") ?? {});
  const inner: readonly (readonly [string, unknown])[] = [
    ...properties.map(([name, value]) => [`${path}.properties[${name}]`, value] as const),
    [`${path}.items`, schema["items"]],
    ...objectsAt(schema, "anyOf").map((value, index) => [`${path}.any_of[${String(index)}]`, value] as const),
  ];
  for (const [place, value] of inner) {
    const problem = schemaProblem(message, value, place);
    if (problem !== null) return problem;
  }
  const unknown = listAt(schema, "required").findIndex((name) => !properties.some(([known]) => known === name));
  return unknown < 0 ? null : invalidField(message, `${path}.required[${String(unknown)}]`, "property is not defined");
}

const thinkingRule: Rule = (asked) => {
  const thinking = objectAt(configOf(asked), "thinkingConfig");
  if (thinking === null) return null;
  const { name, reasoning } = asked.model;
  if (!reasoning) return invalidArgument("Thinking is not enabled for this model.");
  const [budget, level] = [numberAt(thinking, "thinkingBudget"), textAt(thinking, "thinkingLevel")];
  if (budget !== null && level !== null)
    return invalidArgument("You can only set only one of thinking budget and thinking level.");
  const levels = THINKING_LEVELS.find(([prefix]) => name.startsWith(prefix))?.[1];
  if (level !== null && levels?.includes(level) === false)
    return invalidArgument(
      levels.length === 0
        ? "Thinking level is not supported for this model."
        : `Thinking level ${level} is not supported for this model. Please retry with other thinking level.`,
    );
  return budget === null || budget === -1 ? null : budgetProblem(name, budget);
};

function budgetProblem(model: string, budget: number): Refusal | null {
  const known = THINKING_BUDGETS.find(([prefix]) => model.startsWith(prefix));
  if (known === undefined) return null;
  const [, min, max, mayBeZero] = known;
  if (budget === 0)
    return mayBeZero ? null : invalidArgument("Budget 0 is invalid. This model only works in thinking mode.");
  if (budget >= min && budget <= max) return null;
  return invalidArgument(
    `The thinking budget ${String(budget)} is invalid. Please choose a value between ${String(min)} and ${String(max)}.`,
  );
}

const toolsRule: Rule = ({ request, message }) => {
  const names = new Set<string>();
  for (const [at, tool] of objectsAt(request, "tools").entries()) {
    const builtIn = Object.keys(tool).find((name) => name !== "functionDeclarations");
    if (builtIn !== undefined) return invalidArgument(`The tool ${builtIn} is not simulated.`);
    for (const [index, declaration] of objectsAt(tool, "functionDeclarations").entries()) {
      const path = `tools[${String(at)}].function_declarations[${String(index)}]`;
      const problem = declarationProblem(message, declaration, path);
      if (problem !== null) return problem;
      const name = textAt(declaration, "name") ?? "";
      if (names.has(name)) return invalidArgument(`Duplicate function declaration found: ${name}`);
      names.add(name);
    }
  }
  return functionCallingProblem(request, names);
};

function declarationProblem(message: string, declaration: JsonObject, path: string): Refusal | null {
  if (!FUNCTION_NAME.test(textAt(declaration, "name") ?? "")) {
    return invalidField(
      message,
      `${path}.name`,
      "[FIELD_INVALID] Invalid function name. Must start with a letter or an underscore. Must be alphanumeric " +
        "(a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.",
    );
  }
  if (declaration["parameters"] !== undefined && declaration["parametersJsonSchema"] !== undefined)
    return invalidField(message, path, "Only one of parameters and parameters_json_schema may be set.");
  return schemaProblem(message, declaration["parameters"], `${path}.parameters`);
}

function functionCallingProblem(request: JsonObject, declared: ReadonlySet<string>): Refusal | null {
  const config = objectAt(objectAt(request, "toolConfig") ?? {}, "functionCallingConfig");
  if (config === null) return null;
  if (declared.size === 0) return invalidArgument("Function calling config is set without function_declarations.");
  const allowed = listAt(config, "allowedFunctionNames").filter((name) => typeof name === "string");
  if (allowed.length > 0 && !["ANY", "VALIDATED"].includes(textAt(config, "mode") ?? "AUTO"))
    return invalidArgument("allowed_function_names should only be set when the mode is ANY or VALIDATED.");
  const unknown = allowed.find((name) => !declared.has(name));
  return unknown === undefined
    ? null
    : invalidArgument(`The allowed function name ${unknown} is not declared in tools.`);
}

const notSimulatedRule: Rule = (asked) => {
  const config = configOf(asked);
  const field = NOT_SIMULATED_CONFIG.find((name) => config[name] !== undefined && config[name] !== false);
  if (field !== undefined) return invalidArgument(`generationConfig.${field} is not simulated.`);
  const isOther = listAt(config, "responseModalities").some((one) => one !== "TEXT");
  if (isOther) return invalidArgument("Response modalities other than TEXT are not simulated.");
  return asked.request["cachedContent"] === undefined
    ? null
    : geminiError(403, "CachedContent not found (or permission denied)");
};

const RULES: readonly Rule[] = [
  contentsRule,
  turnsRule,
  rangesRule,
  modelLimitsRule,
  schemaRule,
  thinkingRule,
  toolsRule,
  notSimulatedRule,
];

/** The first rule that the request breaks, or null. `request` is as proto-message.ts reads it. */
export function generateProblem(
  request: JsonObject,
  model: PricedModel,
  message = "GenerateContentRequest",
): Refusal | null {
  const asked: Asked = { request, model, message };
  for (const rule of RULES) {
    const problem = rule(asked);
    if (problem !== null) return problem;
  }
  return null;
}

/** Whether the contents are there and whole, which counting and embedding ask for too. */
export function contentsProblem(request: JsonObject, model: PricedModel, message: string): Refusal | null {
  return contentsRule({ request, model, message });
}

/** Whether one content is whole. */
export function oneContentProblem(content: JsonObject, model: PricedModel, message: string): Refusal | null {
  return contentProblem({ request: {}, model, message }, content, "content");
}
