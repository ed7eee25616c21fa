import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { translateRequest } from "../../src/domain/format/translate.js";
import type { RequestFormat } from "../../src/domain/job/job.js";

/**
 * Walks every member that an official SDK documents of a request type and says what becomes of it in each other format. A member that
 * the SDK gains later fails the walk until somebody has decided.
 */

const SDK_TYPES = {
  "openai.chat": "node_modules/openai/resources/chat/completions/completions.d.ts",
  "openai.shared": "node_modules/openai/resources/shared.d.ts",
  "openai.embeddings": "node_modules/openai/resources/embeddings.d.ts",
  "anthropic.messages": "node_modules/@anthropic-ai/sdk/resources/messages/messages.d.ts",
  gemini: "node_modules/@google/genai/dist/genai.d.ts",
} as const;

/** "carried": the target's body says it; "left": it changes no answer, so the target's body is the same without it; a pattern: the reason. */
export type Fate = "carried" | "left" | RegExp;

/** A member, a value for it, and its fate in each target, in the order of the walk's targets. */
export type MemberRow = readonly [member: string, value: unknown, first: Fate, second?: Fate];

export interface MemberWalk {
  readonly from: RequestFormat;
  readonly targets: readonly RequestFormat[];
  readonly sdk: keyof typeof SDK_TYPES;
  /** The SDK's type whose members the rows are; `extra` members are documented elsewhere. */
  readonly type: string;
  readonly extra?: readonly string[];
  /** A whole body with these members in the place of the type. */
  readonly place: (members: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
  /** Members without which the place means nothing. */
  readonly base?: Readonly<Record<string, unknown>>;
  readonly rows: readonly MemberRow[];
}

/** Names of the members of an interface or class, without those of types nested in it. `Outer.Inner`: the one in that namespace. */
function sdkMembers(sdk: keyof typeof SDK_TYPES, type: string): readonly string[] {
  const all = readFileSync(SDK_TYPES[sdk], "utf8").replace(/\/\*\*[\s\S]*?\*\//g, "");
  const [name = "", outer] = type.split(".").reverse();
  const text = outer === undefined ? all : all.slice(all.indexOf(`namespace ${outer} {`));
  const head = new RegExp(`^( *)(?:export )?(?:declare )?(?:interface|class) ${name}(?: extends [^{]*)? \\{$`, "m");
  const found = head.exec(text);
  if (found === null) throw new Error(`no type ${type} in ${SDK_TYPES[sdk]}`);
  const indent = found[1] ?? "";
  const rest = text.slice(found.index + found[0].length);
  const body = rest.slice(0, rest.search(new RegExp(`^${indent}\\}`, "m")));
  return [...body.matchAll(new RegExp(`^${indent} {4}(\\w+)\\??:`, "gm"))].map((match) => match[1] ?? "");
}

export function describeWalk(walk: MemberWalk): void {
  describe(`${walk.from}: ${walk.type}`, () => {
    test("has a row for each member that the SDK documents", () => {
      const documented = new Set([...sdkMembers(walk.sdk, walk.type), ...(walk.extra ?? [])]);
      expect(new Set(walk.rows.map(([member]) => member))).toEqual(documented);
    });
    const cases = walk.rows.flatMap(([member, value, ...fates]) =>
      walk.targets.map((target, at) => [member, JSON.stringify(value), target, fates[at] ?? fates[0]] as const),
    );
    test.each(cases)("%s %s to %s", (member, value, target, fate) => {
      checkFate(walk, member, JSON.parse(value), target, fate);
    });
  });
}

function checkFate(walk: MemberWalk, member: string, value: unknown, target: RequestFormat, fate: Fate): void {
  const translate = (members: Readonly<Record<string, unknown>>) =>
    translateRequest(walk.from, target, JSON.stringify(walk.place(members)));
  const without = Object.fromEntries(Object.entries(walk.base ?? {}).filter(([name]) => name !== member));
  const result = translate({ ...without, [member]: value });
  if (fate instanceof RegExp) {
    expect(result).toEqual({ kind: "not_carried", reasons: expect.arrayContaining([expect.stringMatching(fate)]) });
    return;
  }
  expect(result).toEqual({ kind: "carried", bodyText: expect.any(String) });
  const same = JSON.stringify(result) === JSON.stringify(translate(walk.base ?? {}));
  expect(same).toBe(fate === "left");
}
