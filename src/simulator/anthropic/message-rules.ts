/**
 * What Anthropic refuses in a messages request whose fields are all right: rules between fields, between messages, and the model's.
 * Source: providers.md 4.1 and 4.2, the guides on tool use, thinking and structured output, and answers of the API as users
 * reported them, read 2026-11-26. Which models take which kind of thinking and prefill is the simulator's own short rule.
 */
import { asList, isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { PricedModel } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { schemaProblem } from "../engine/schema-value.js";
import { cacheProblem } from "./cache-use.js";
import { invalid } from "./errors.js";

type Asked = { readonly body: JsonObject; readonly version: string; readonly model: PricedModel };

type Rule = (asked: Asked) => Refusal | null;

export function toolsOf(body: JsonObject): readonly JsonObject[] {
  return asList(body["tools"]).filter(isObject);
}

/** The schema that the answer must satisfy, if there is one. */
export function schemaOf(body: JsonObject): JsonObject | null {
  const config = body["output_config"];
  const format = isObject(config) ? config["format"] : null;
  return isObject(format) && isObject(format["schema"]) ? format["schema"] : null;
}

function thinkingOf(body: JsonObject): JsonObject | null {
  const thinking = body["thinking"];
  return isObject(thinking) && thinking["type"] !== "disabled" ? thinking : null;
}

/** Of the model line after Opus 4.6: no sampling, no manual thinking, no prefill. */
function isLate(model: PricedModel): boolean {
  return !model.samplingParams;
}

const streamRule: Rule = ({ body }) => (body["stream"] === true ? invalid("stream: streaming is not simulated") : null);

const outputRule: Rule = ({ body, model }) => {
  const asked = body["max_tokens"];
  if (typeof asked !== "number" || model.outputTokensMax === null || asked <= model.outputTokensMax) return null;
  const max = String(model.outputTokensMax);
  return invalid(`max_tokens: ${String(asked)} > ${max}, the most output tokens of ${model.name}`);
};

/** Sampling parameters that this version or model does not take. */
const samplingRule: Rule = ({ body, version, model }) => {
  for (const field of ["temperature", "top_p", "top_k"]) {
    const value = body[field];
    if (value === undefined) continue;
    if (version === "2026-10-21") return invalid(`${field}: not permitted with anthropic-version ${version}`);
    const isHarmless =
      field === "temperature" ? value === 1 : field === "top_p" && typeof value === "number" && value >= 0.99;
    if (!model.samplingParams && !isHarmless) return invalid(`${field}: not supported by ${model.name}`);
  }
  return null;
};

const toolsRule: Rule = ({ body }) => {
  if (body["tools"] === undefined && body["tool_choice"] === undefined) return null;
  const names = toolsOf(body).map((tool) => tool["name"]);
  if (new Set(names).size < names.length) return invalid("tools: Tool names must be unique.");
  for (const [index, tool] of toolsOf(body).entries()) {
    const schema = isObject(tool["input_schema"]) ? tool["input_schema"] : {};
    if (schema["type"] !== "object")
      return invalid(`tools.${String(index)}.input_schema.type: Input should be 'object'`);
    const problem = schemaProblem(schema);
    if (problem !== null) return invalid(`tools.${String(index)}.input_schema: not simulated, ${problem}`);
  }
  const choice = body["tool_choice"];
  if (choice === undefined) return null;
  if (names.length === 0) return invalid("tool_choice: may only be given together with tools");
  const isUnknown = isObject(choice) && choice["type"] === "tool" && !names.includes(choice["name"]);
  return isUnknown ? invalid(`tool_choice: Tool '${String(choice["name"])}' not found in provided tools`) : null;
};

function blocksOf(message: unknown, type: string): readonly JsonObject[] {
  const content = isObject(message) ? asList(message["content"]) : [];
  return content.filter(isObject).filter((block) => block["type"] === type);
}

function hasBlocks(message: unknown): boolean {
  return isObject(message) && Array.isArray(message["content"]);
}

/** Each call of a tool is answered by the next message, and nothing else is. */
const toolTurnsRule: Rule = ({ body }) => {
  const messages = asList(body["messages"]);
  if (!messages.some(hasBlocks)) return null;
  for (const [index, message] of messages.entries()) {
    const called = blocksOf(messages[index - 1], "tool_use").map((block) => block["id"]);
    const answered = blocksOf(message, "tool_result").map((block) => block["tool_use_id"]);
    const stray = answered.findIndex((id) => !called.includes(id));
    if (stray >= 0) {
      const place = `messages.${String(index)}.content.${String(stray)}`;
      const rule = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.";
      return invalid(
        `${place}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${String(answered[stray])}. ${rule}`,
      );
    }
    const open = called.filter((id) => !answered.includes(id));
    if (open.length > 0) return unanswered(index - 1, open);
  }
  const last = blocksOf(messages.at(-1), "tool_use").map((block) => block["id"]);
  return last.length === 0 ? null : unanswered(messages.length - 1, last);
};

function unanswered(index: number, ids: readonly unknown[]): Refusal {
  const rule = "Each `tool_use` block must have a corresponding `tool_result` block in the next message.";
  const found = "`tool_use` ids were found without `tool_result` blocks immediately after";
  return invalid(`messages.${String(index)}: ${found}: ${ids.map(String).join(", ")}. ${rule}`);
}

const turnsRule: Rule = ({ body, model }) => {
  const messages = asList(body["messages"]);
  const [first, last] = [messages[0], messages.at(-1)];
  if (isObject(first) && first["role"] === "assistant")
    return invalid("messages: the first message must have the role user");
  const isPrefill = isObject(last) && last["role"] === "assistant";
  return isPrefill && isLate(model)
    ? invalid("This model does not support assistant message prefill. The conversation must end with a user message.")
    : null;
};

/** From the 4.6 line on. */
function takesAdaptive(name: string): boolean {
  return !/^claude-(?:3|(?:opus|sonnet|haiku)-4-(?:[015]|2))/.test(name);
}

const thinkingRule: Rule = ({ body, model }) => {
  const thinking = thinkingOf(body);
  if (thinking === null) return null;
  if (!model.reasoning) return invalid(`'${model.name}' does not support thinking`);
  const isManual = thinking["type"] === "enabled";
  if (isManual && isLate(model))
    return invalid(`"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".`);
  if (!isManual && !takesAdaptive(model.name)) return invalid("adaptive thinking is not supported on this model");
  const { budget_tokens: budget } = thinking;
  const max = body["max_tokens"];
  if (typeof budget === "number" && typeof max === "number" && budget >= max)
    return invalid("`max_tokens` must be greater than `thinking.budget_tokens`.");
  if (body["temperature"] !== undefined && body["temperature"] !== 1)
    return invalid("`temperature` may only be set to 1 when thinking is enabled.");
  const choice = body["tool_choice"];
  const isForced = isObject(choice) && (choice["type"] === "any" || choice["type"] === "tool");
  return isForced ? invalid("Thinking may not be enabled when tool_choice forces tool use.") : null;
};

/** The words of effort by the beginning of the model's name, the longest first; a model that is not here takes all. */
const EFFORTS: readonly (readonly [prefix: string, words: string])[] = [
  ["claude-3", ""],
  ["claude-haiku-4", ""],
  ["claude-sonnet-4-6", "low medium high max"],
  ["claude-sonnet-4", ""],
  ["claude-opus-4-5", "low medium high"],
  ["claude-opus-4-6", "low medium high max"],
  ["claude-opus-4-7", "low medium high xhigh max"],
  ["claude-opus-4-8", "low medium high xhigh max"],
  ["claude-opus-4", ""],
];

const effortRule: Rule = ({ body, model }) => {
  const config = body["output_config"];
  const effort = isObject(config) ? config["effort"] : null;
  if (typeof effort !== "string") return null;
  const words = EFFORTS.find(([prefix]) => model.name.startsWith(prefix))?.[1];
  if (words === undefined || words.split(" ").includes(effort)) return null;
  return words === ""
    ? invalid("This model does not support the effort parameter.")
    : invalid(`output_config.effort: '${effort}' is not supported by ${model.name}. Supported: ${words}`);
};

const schemaRule: Rule = ({ body, model }) => {
  const schema = schemaOf(body);
  if (schema === null) return null;
  if (!model.capabilities.has("json_schema")) return invalid(`output_config.format: not supported by ${model.name}`);
  const place = "output_config.format.schema";
  if (hasOpenObject(schema)) {
    return invalid(`${place}: For 'object' type, 'additionalProperties' must be explicitly set to false`);
  }
  const problem = schemaProblem(schema);
  return problem === null ? null : invalid(`${place}: not simulated, ${problem}`);
};

/** Whether an object anywhere in the schema leaves open which properties it may have. */
function hasOpenObject(node: unknown): boolean {
  if (Array.isArray(node)) return node.some(hasOpenObject);
  if (!isObject(node)) return false;
  if (node["type"] === "object" && node["additionalProperties"] !== false) return true;
  return Object.values(node).some(hasOpenObject);
}

const RULES: readonly Rule[] = [
  streamRule,
  toolsRule,
  turnsRule,
  toolTurnsRule,
  outputRule,
  samplingRule,
  thinkingRule,
  effortRule,
  schemaRule,
  ({ body }) => cacheProblem(body),
];

/** The first rule that the request breaks, or null. */
export function messageProblem(body: JsonObject, version: string, model: PricedModel): Refusal | null {
  const asked: Asked = { body, version, model };
  for (const rule of RULES) {
    const refusal = rule(asked);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** Whether and how the model thinks. */
export function thinkingAsked(body: JsonObject): { readonly thinks: boolean; readonly shows: boolean } {
  const thinking = thinkingOf(body);
  return { thinks: thinking !== null, shows: thinking !== null && thinking["display"] !== "omitted" };
}
