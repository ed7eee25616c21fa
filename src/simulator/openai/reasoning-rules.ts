/**
 * What OpenAI's reasoning models refuse: words of effort that a line has not, and sampling while they reason.
 * Source: OpenAI's guides on its models and on reasoning, and its API's answers as users reported them, read 2026-11-26. Later models
 * than those below take every word here.
 */
import { isSet, wordOf } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { PricedModel } from "../engine/price-table.js";
import type { Refusal } from "../engine/refusal.js";
import { invalid } from "./errors.js";

type Line = {
  /** Begins the names of its models. */
  readonly prefixes: readonly string[];
  /** null = all that there are. */
  readonly efforts: readonly string[] | null;
  readonly untold: string;
  readonly samplesAtNone: boolean;
};

/** The first that fits counts. */
const LINES: readonly Line[] = [
  { prefixes: ["o1", "o3", "o4"], efforts: ["low", "medium", "high"], untold: "medium", samplesAtNone: false },
  { prefixes: ["gpt-5.1"], efforts: ["none", "low", "medium", "high"], untold: "none", samplesAtNone: true },
  {
    prefixes: ["gpt-5.2", "gpt-5.4"],
    efforts: ["none", "low", "medium", "high", "xhigh"],
    untold: "none",
    samplesAtNone: true,
  },
  {
    prefixes: ["gpt-5.6"],
    efforts: ["none", "low", "medium", "high", "xhigh", "max"],
    untold: "medium",
    samplesAtNone: true,
  },
  { prefixes: ["gpt-5.", "gpt-6"], efforts: null, untold: "medium", samplesAtNone: true },
  { prefixes: ["gpt-5"], efforts: ["minimal", "low", "medium", "high"], untold: "medium", samplesAtNone: false },
];

/** Fields that shape the choice of tokens, with the value that changes nothing. */
const SAMPLING: readonly (readonly [field: string, idle: unknown])[] = [
  ["temperature", 1],
  ["top_p", 1],
  ["presence_penalty", 0],
  ["frequency_penalty", 0],
  ["logprobs", false],
  ["top_logprobs", 0],
  ["logit_bias", null],
];

export function reasoningRefusal(body: JsonObject, model: PricedModel): Refusal | null {
  if (!model.reasoning) return null;
  const line = LINES.find(({ prefixes }) => prefixes.some((prefix) => model.name.startsWith(prefix)));
  const effort = wordOf(body, "reasoning_effort");
  if (effort !== null && line?.efforts?.includes(effort) === false) {
    return invalid(
      `Unsupported value: 'reasoning_effort' does not support '${effort}' with this model.`,
      "reasoning_effort",
      "unsupported_value",
    );
  }
  const reasons = (effort ?? line?.untold) !== "none";
  return reasons || line?.samplesAtNone !== true ? samplingRefusal(body) : null;
}

function samplingRefusal(body: JsonObject): Refusal | null {
  for (const [field, idle] of SAMPLING) {
    if (!isSet(body, field) || body[field] === idle || isEmpty(body[field])) continue;
    return field === "temperature"
      ? invalid(
          `Unsupported value: 'temperature' does not support ${String(body[field])} with this model. Only the default (1) value is supported.`,
          field,
          "unsupported_value",
        )
      : invalid(`Unsupported parameter: '${field}' is not supported with this model.`, field, "unsupported_parameter");
  }
  return null;
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
