import { topLevelMembers, type TopLevelMember } from "../../domain/route/top-level-members.js";

/** What a provider's request differs in from the caller's body. */
export interface BodyEdit {
  /** Null: it stands elsewhere; the body names none. */
  readonly model: string | null;
  /** Top-level members that are not sent on. */
  readonly dropped: ReadonlySet<string>;
  /** Null: what is asked for has no output to be capped. */
  readonly cap: OutputCap | null;
}

interface OutputCap {
  /** Names under which a caller may have set it; the first is the one we use. */
  readonly names: readonly [string, ...string[]];
  /** Sent when the caller set none of them. */
  readonly byDefault: number;
  /** The caller's cap is sent under the first name, whatever the caller called it. */
  readonly renamed?: boolean;
}

/**
 * The body to send: the caller's own text of every member that stays, so that each number keeps its digits, with model and output cap put
 * in. A cap of `null` counts as none. Null when the text is no JSON object.
 */
export function editedBody(bodyText: string, edit: BodyEdit): string | null {
  const members = topLevelMembers(bodyText);
  if (members === null) return null;
  const { cap } = edit;
  let edited = edit.model === null ? "" : `"model":${JSON.stringify(edit.model)}`;
  let capped = false;
  for (const member of members) {
    if (member.name === "model" || edit.dropped.has(member.name)) continue;
    const ofCap = cap?.names.includes(member.name) === true ? cap : null;
    const text = ofCap === null ? bodyText.slice(member.start, member.end) : capText(bodyText, member, ofCap, capped);
    if (text === null) continue;
    if (ofCap !== null) capped = true;
    edited = joined(edited, text);
  }
  if (cap !== null && !capped) edited = joined(edited, `"${cap.names[0]}":${String(cap.byDefault)}`);
  return `{${edited}}`;
}

/** Null: it is not sent. Under one name the first of two caps is; the bound of the cost takes the larger. */
function capText(bodyText: string, member: TopLevelMember, cap: OutputCap, capped: boolean): string | null {
  const value = bodyText.slice(member.valueStart, member.end);
  if (value === "null" || (capped && cap.renamed === true)) return null;
  return cap.renamed === true ? `"${cap.names[0]}":${value}` : bodyText.slice(member.start, member.end);
}

function joined(edited: string, member: string): string {
  return edited === "" ? member : `${edited},${member}`;
}
