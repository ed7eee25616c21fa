import { topLevelMembers, type TopLevelMember } from "../../../domain/route/top-level-members.js";
import { editedBody } from "../edited-body.js";
import type { CallBody, WireRequest } from "../wire-format.js";
import { modelPath } from "./model-path.js";

/** The API reads either spelling of a name. */
const CONFIG_NAMES: ReadonlySet<string> = new Set(["generationConfig", "generation_config"]);
const CAP_NAMES = ["maxOutputTokens", "max_output_tokens"] as const;
const DROPPED: ReadonlySet<string> = new Set(["model", "stream"]);
const NONE: ReadonlySet<string> = new Set();

/** `POST /models/{model}:generateContent`; null when the caller's body is no JSON object. */
export function toGenerate(call: CallBody): WireRequest | null {
  const members = topLevelMembers(call.bodyText);
  if (members === null) return null;
  const textOf = ({ valueStart, end }: TopLevelMember): string => call.bodyText.slice(valueStart, end);
  const kept = members.filter((member) => !DROPPED.has(member.name) && !isEmptyConfig(member, textOf(member)));
  const configAt = kept.findIndex(({ name }) => CONFIG_NAMES.has(name));
  const written = kept.map((member, index) =>
    index === configAt
      ? `"generationConfig":${cappedConfig(textOf(member), call.maxOutputTokensDefault)}`
      : call.bodyText.slice(member.start, member.end),
  );
  if (configAt === -1) written.push(`"generationConfig":${cappedConfig("{}", call.maxOutputTokensDefault)}`);
  return { path: modelPath(call.model, "generateContent"), bodyText: `{${written.join(",")}}` };
}

function isEmptyConfig({ name }: TopLevelMember, value: string): boolean {
  return CONFIG_NAMES.has(name) && value === "null";
}

/** What is no object goes as it is: the API refuses it. */
function cappedConfig(text: string, byDefault: number): string {
  return editedBody(text, { model: null, dropped: NONE, cap: { names: CAP_NAMES, byDefault } }) ?? text;
}
