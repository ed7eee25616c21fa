import type { JsonObject } from "../json.js";
import { readMembers } from "../members.js";
import type { Members } from "../members.js";
import { ANTHROPIC_EFFORTS, effortOf } from "../reasoning.js";
import type { Reasoning } from "../reasoning.js";
import type { Reasons } from "../reasons.js";
import { BUDGET_MIN } from "./members.js";

/** `thinking` and `output_config.effort` say it together. An effort without `thinking` is the same wish. */
export function readReasoning(members: Members, effortWord: string | null): Reasoning | null {
  const thinking = readThinking(members);
  if (effortWord === null) return thinking;
  const effort = effortOf(ANTHROPIC_EFFORTS, effortWord);
  if (effort === null) members.reasons.missing(`effort ${effortWord}`);
  if (thinking?.kind === "off" || thinking?.kind === "budget")
    members.reasons.missing("effort beside a thinking budget or thinking switched off");
  return effort === null ? thinking : { kind: "effort", effort };
}

function readThinking(members: Members): Reasoning | null {
  const thinking = members.take("thinking");
  if (thinking === undefined) return null;
  return readMembers(thinking, "thinking", members.reasons, (inner) => {
    inner.ignoreWhen("display", ["omitted"]);
    const type = inner.word("type");
    if (type === "disabled") return { kind: "off" };
    if (type === "adaptive") return { kind: "auto" };
    if (type === "enabled") return { kind: "budget", tokens: inner.number("budget_tokens") ?? 0 };
    inner.reasons.missing(`thinking ${type}`);
    return null;
  });
}

interface WrittenReasoning {
  readonly thinking: JsonObject | undefined;
  readonly effort: string | undefined;
}

export function writeReasoning(reasoning: Reasoning | null, reasons: Reasons): WrittenReasoning {
  if (reasoning === null) return { thinking: undefined, effort: undefined };
  switch (reasoning.kind) {
    case "off":
      return { thinking: { type: "disabled" }, effort: undefined };
    case "auto":
      return { thinking: { type: "adaptive" }, effort: undefined };
    case "budget":
      if (reasoning.tokens < BUDGET_MIN) reasons.add(`anthropic takes no thinking budget below ${String(BUDGET_MIN)}`);
      return { thinking: { type: "enabled", budget_tokens: reasoning.tokens }, effort: undefined };
    case "effort": {
      const effort = ANTHROPIC_EFFORTS[reasoning.effort];
      if (effort === undefined) reasons.missing(`reasoning effort ${reasoning.effort}`);
      return { thinking: { type: "adaptive" }, effort };
    }
  }
}
