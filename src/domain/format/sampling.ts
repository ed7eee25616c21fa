import type { Members } from "./members.js";
import type { JsonObject } from "./json.js";
import type { Reasons } from "./reasons.js";

/** How tokens are drawn. Null: the provider's default. */
export interface Sampling {
  readonly temperature: number | null;
  readonly topP: number | null;
  readonly topK: number | null;
  readonly seed: number | null;
  readonly frequencyPenalty: number | null;
  readonly presencePenalty: number | null;
}

export const NO_SAMPLING: Sampling = {
  temperature: null,
  topP: null,
  topK: null,
  seed: null,
  frequencyPenalty: null,
  presencePenalty: null,
};

/** A member's name in one format and the values it takes there; null: the format has none. */
export type SamplingMembers = Readonly<Record<keyof Sampling, SamplingMember | null>>;

export interface SamplingMember {
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

const WORDS = {
  temperature: "temperature",
  topP: "top_p",
  topK: "top_k",
  seed: "seed",
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
} as const satisfies Record<keyof Sampling, string>;

const KEYS = Object.keys(WORDS) as readonly (keyof Sampling)[]; // keys of the table above

export function readSampling(members: Members, formats: SamplingMembers): Sampling {
  const read = (key: keyof Sampling) => {
    const member = formats[key];
    return member === null ? null : members.number(member.name);
  };
  return {
    temperature: read("temperature"),
    topP: read("topP"),
    topK: read("topK"),
    seed: read("seed"),
    frequencyPenalty: unlessZero(read("frequencyPenalty")),
    presencePenalty: unlessZero(read("presencePenalty")),
  };
}

export function writeSampling(sampling: Sampling, format: SamplingMembers, reasons: Reasons): JsonObject {
  const written: Record<string, number> = {};
  for (const key of KEYS) {
    const value = sampling[key];
    if (value === null) continue;
    const member = format[key];
    if (member === null) reasons.missing(WORDS[key]);
    else if (value < member.min || value > member.max) reasons.add(outside(WORDS[key], value, member, reasons.target));
    else written[member.name] = value;
  }
  return written;
}

function outside(word: string, value: number, member: SamplingMember, target: string): string {
  return `${word} ${String(value)} is outside the ${String(member.min)} to ${String(member.max)} of ${target}`;
}

/** A penalty of zero is none, which is the default everywhere. */
function unlessZero(penalty: number | null): number | null {
  return penalty === 0 ? null : penalty;
}
