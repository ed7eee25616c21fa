import type { RequestFormat } from "../job/job.js";
import { arrayItems, topLevelMembers } from "../route/top-level-members.js";

/**
 * Which prompts begin alike. Providers cache the beginning of a prompt: tools, then the system text, then the turns. What is hashed is the
 * part that requests of one application usually share: tools and system text where there are any, else the first characters of the
 * first turn. It is a hint for the order inside a batch, nothing else: two prompts that share a hash by chance lie side by side.
 */

/** Of each shared part; long enough to tell applications apart, short enough to cost nothing. */
const SHARED_CHARACTERS = 1_024;
/** Of a first turn without a system text: behind a common opening prompts go apart. */
const FIRST_TURN_CHARACTERS = 256;

/** Members of a body that hold the turns, and those that stand before them in the provider's prompt. */
interface PromptMembers {
  readonly turns: string;
  readonly shared: readonly string[];
}

const MEMBERS: Readonly<Partial<Record<RequestFormat, PromptMembers>>> = {
  "openai.chat": { turns: "messages", shared: ["tools"] },
  "anthropic.messages": { turns: "messages", shared: ["tools", "system"] },
  "gemini.generate": { turns: "contents", shared: ["tools", "systemInstruction", "system_instruction"] },
};

const SYSTEM_ROLE = /^"(?:system|developer)"$/;
/** Turns that are looked at for a system text. */
const SYSTEM_TURNS_MAX = 2;

/**
 * A whole number of 53 bits, equal for requests to one model whose prompts begin alike; 0 where nothing is cached, as for embeddings.
 * @param bodyText the request as the caller sent it.
 */
export function promptPrefix(format: RequestFormat, model: string, bodyText: string): number {
  const members = MEMBERS[format];
  if (members === undefined) return 0;
  const shared: string[] = [];
  let turns = "";
  for (const { name, valueStart, end } of topLevelMembers(bodyText) ?? []) {
    if (members.shared.includes(name))
      shared.push(bodyText.slice(valueStart, Math.min(end, valueStart + SHARED_CHARACTERS)));
    else if (name === members.turns) turns = bodyText.slice(valueStart, end);
  }
  shared.push(...systemTurns(turns));
  if (shared.length === 0) shared.push(firstTurn(turns));
  return hash53([model, ...shared].join("\n"));
}

function systemTurns(turns: string): string[] {
  const found: string[] = [];
  for (const { start, end } of (arrayItems(turns) ?? []).slice(0, SYSTEM_TURNS_MAX)) {
    const turn = turns.slice(start, end);
    const role = topLevelMembers(turn)?.find(({ name }) => name === "role");
    if (role === undefined || !SYSTEM_ROLE.test(turn.slice(role.valueStart, role.end))) break;
    found.push(turn.slice(0, SHARED_CHARACTERS));
  }
  return found;
}

function firstTurn(turns: string): string {
  return turns.slice(0, FIRST_TURN_CHARACTERS);
}

const FNV_PRIME = 0x01000193;
const SECOND_PRIME = 0x85ebca6b;
const HIGH_BITS = 0x200000;

/** Two multiplicative hashes side by side: 32 bits of one, 21 of the other. Not against anybody who means harm. */
function hash53(text: string): number {
  let low = 0x811c9dc5;
  let high = 0xdeadbeef;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    low = Math.imul(low ^ code, FNV_PRIME);
    high = Math.imul(high ^ code, SECOND_PRIME);
  }
  high ^= high >>> 15;
  return ((high >>> 0) % HIGH_BITS) * 0x1_0000_0000 + (low >>> 0);
}
