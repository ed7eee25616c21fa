import type { AssistantPart, ToolResult, Turn } from "../chat-request.js";
import type { Reasons } from "../reasons.js";

/**
 * Gives ids to function calls that have none, as in the older shape of the API, where a response belongs to the first open call of its
 * name. Ids are the place of the call in the conversation, so the same conversation gets the same ones.
 */
export function linkCalls(turns: readonly Turn[], reasons: Reasons): readonly Turn[] {
  const linker = new Linker(reasons);
  return turns.map((turn) => linker.link(turn));
}

class Linker {
  private readonly reasons: Reasons;
  private readonly open: { readonly id: string; readonly name: string }[] = [];
  private calls = 0;

  constructor(reasons: Reasons) {
    this.reasons = reasons;
  }

  link(turn: Turn): Turn {
    switch (turn.role) {
      case "user":
        return turn;
      case "assistant":
        return { role: turn.role, parts: turn.parts.map((part) => this.linkPart(part)) };
      case "tools":
        return { role: turn.role, results: turn.results.map((result) => this.linkResult(result)) };
    }
  }

  private linkPart(part: AssistantPart): AssistantPart {
    if (part.kind === "text") return part;
    this.calls += 1;
    const call = part.id === "" ? { ...part, id: `call_${String(this.calls)}` } : part;
    this.open.push({ id: call.id, name: call.name });
    return call;
  }

  private linkResult(result: ToolResult): ToolResult {
    const at = this.open.findIndex((call) => (result.id === "" ? call.name === result.name : call.id === result.id));
    const [call] = at === -1 ? [] : this.open.splice(at, 1);
    if (call === undefined) this.reasons.add(`the response of ${String(result.name)} answers no function call`);
    return { ...result, id: call?.id ?? result.id };
  }
}
