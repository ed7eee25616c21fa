import { arrayItems, topLevelMembers, type TopLevelMember } from "./top-level-members.js";

/** What a kind of provider refuses of the format that it speaks, whatever the model. */
export interface RefusedMembers {
  /** Members of the body. */
  readonly body: readonly string[];
  /** Members of its messages. */
  readonly messages: readonly string[];
  /** Answers to one prompt (`n`). */
  readonly choicesMax: number;
}

/** Why the body would be refused, in words; null when nothing is known against it. A member of `null` counts as left out. */
export function reasonOfMembers(kind: string, refused: RefusedMembers | null, bodyText: string): string | null {
  if (refused === null) return null;
  const members = membersOf(bodyText);
  const inBody = refused.body.filter((name) => members.has(name));
  const inMessages = namesInMessages(members.get("messages")).filter((name) => refused.messages.includes(name));
  const found = [...inBody, ...new Set(inMessages.map((name) => `messages[].${name}`))];
  if (found.length > 0) return `${kind} takes no ${found.join(", ")}`;
  const choices = Number(members.get("n") ?? "1");
  return choices > refused.choicesMax ? `${kind} gives ${String(refused.choicesMax)} answer(s) at most (n)` : null;
}

/** Texts of the members by their names. */
function membersOf(text: string): ReadonlyMap<string, string> {
  const textOf = ({ valueStart, end }: TopLevelMember): string => text.slice(valueStart, end);
  const members = topLevelMembers(text) ?? [];
  return new Map(members.map((one) => [one.name, textOf(one)] as const).filter(([, value]) => value !== "null"));
}

function namesInMessages(list: string | undefined): readonly string[] {
  if (list === undefined) return [];
  return (arrayItems(list) ?? []).flatMap(({ start, end }) => [...membersOf(list.slice(start, end)).keys()]);
}
