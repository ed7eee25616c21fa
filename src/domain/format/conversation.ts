import type { ToolCall, Turn } from "./chat-request.js";
import type { Reasons } from "./reasons.js";

/** What readers and writers of the three chat formats share about the turns of a conversation. */

/** Neighbouring turns of one speaker become one, and each tool result gets the name of the call that it answers. */
export function joinTurns(turns: readonly Turn[]): readonly Turn[] {
  const joined: Turn[] = [];
  const names = new Map<string, string>();
  for (const turn of turns) {
    const named = withNames(turn, names);
    const both = joinedTurn(joined.at(-1), named);
    if (both === null) joined.push(named);
    else joined.splice(-1, 1, both);
  }
  return joined;
}

function joinedTurn(before: Turn | undefined, turn: Turn): Turn | null {
  if (before?.role === "user" && turn.role === "user") return { role: "user", parts: [...before.parts, ...turn.parts] };
  if (before?.role === "assistant" && turn.role === "assistant")
    return { role: "assistant", parts: [...before.parts, ...turn.parts] };
  if (before?.role === "tools" && turn.role === "tools")
    return { role: "tools", results: [...before.results, ...turn.results] };
  return null;
}

function withNames(turn: Turn, names: Map<string, string>): Turn {
  if (turn.role === "tools")
    return { role: "tools", results: turn.results.map((one) => ({ ...one, name: names.get(one.id) ?? one.name })) };
  if (turn.role === "assistant") for (const call of callsOf(turn)) names.set(call.id, call.name);
  return turn;
}

export function callsOf(turn: Turn): readonly ToolCall[] {
  return turn.role === "assistant" ? turn.parts.filter((part) => part.kind === "call") : [];
}

/**
 * Every provider goes on from the end of a conversation, but in different ways when the assistant spoke last: Anthropic continues its
 * text, OpenAI starts a new message.
 */
export function checkEnding(turns: readonly Turn[], reasons: Reasons): void {
  const last = turns.at(-1);
  if (last === undefined) reasons.add("the conversation is empty");
  if (last?.role === "assistant")
    reasons.add(`a conversation that ends with the assistant's own words means something else at ${reasons.target}`);
}

/** A turn of no parts: OpenAI takes an empty message, the others refuse it. */
export function checkFilled(turns: readonly Turn[], reasons: Reasons): void {
  if (turns.some((turn) => turn.role !== "tools" && turn.parts.length === 0)) reasons.missing("empty messages");
}

/**
 * Ids of tool calls as the target takes them: kept where they fit, else renamed by their place in the conversation, the same each time. An
 * id only links a call with its result.
 */
export function fittedIds(turns: readonly Turn[], fits: (id: string) => boolean): (id: string) => string {
  const renamed = new Map<string, string>();
  let place = 0;
  for (const call of turns.flatMap(callsOf)) {
    place += 1;
    if (!fits(call.id)) renamed.set(call.id, `call_${String(place)}`);
  }
  return (id) => renamed.get(id) ?? id;
}
