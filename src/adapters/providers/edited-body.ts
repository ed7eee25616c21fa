import { topLevelMembers } from "../../domain/route/top-level-members.js";

/** What a provider's request differs in from the caller's body. */
export interface BodyEdit {
  readonly model: string;
  /** Top-level members that are not sent on. */
  readonly dropped: ReadonlySet<string>;
  /** Names under which a caller may have capped the output; the first is the one we use. */
  readonly capNames: readonly [string, ...string[]];
  /** Sent when the caller set none of them. */
  readonly capDefault: number;
}

/**
 * The body to send: the caller's own text of every member that stays, so that each number keeps its digits, with model and output cap put
 * in. A cap of `null` counts as none. Null when the text is no JSON object.
 */
export function editedBody(bodyText: string, edit: BodyEdit): string | null {
  const members = topLevelMembers(bodyText);
  if (members === null) return null;
  let edited = `{"model":${JSON.stringify(edit.model)}`;
  let capped = false;
  for (const member of members) {
    if (member.name === "model" || edit.dropped.has(member.name)) continue;
    if (edit.capNames.includes(member.name)) {
      if (bodyText.slice(member.valueStart, member.end) === "null") continue;
      capped = true;
    }
    edited += `,${bodyText.slice(member.start, member.end)}`;
  }
  return capped ? `${edited}}` : `${edited},"${edit.capNames[0]}":${String(edit.capDefault)}}`;
}
