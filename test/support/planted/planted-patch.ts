import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * A planted bug: a way to be wrong, as a change of the built product, so that the product itself holds no switch for it. The file is a
 * title, a head, and hunks like those of a diff but without line numbers:
 *
 *     The offset is committed before the intake
 *
 *     checker: offsets_behind_ledger
 *     runs in: simulation direct, 200 seeds
 *     in check: yes
 *
 *     --- dist/adapters/kafka/inbox-consumer.js
 *     @@
 *      a line that stays
 *     -a line that goes
 *     +a line that comes
 *
 * What stays and goes must be there once and only once, to the letter. So a change elsewhere in the file never breaks a patch, and one at
 * the place itself always does.
 */
export interface PlantedPatch {
  /** Of its file, without the ending. */
  readonly name: string;
  readonly title: string;
  /** The only one that may find it. */
  readonly checker: string;
  readonly runsIn: PlantedRun;
  /** Among those that `npm run check` looks for. */
  readonly inCheck: boolean;
  readonly files: ReadonlyMap<string, readonly Hunk[]>;
}

export const WORLDS = ["direct", "mixed", "grouped"] as const;

export type PlantedRun =
  | { readonly place: "simulation"; readonly world: (typeof WORLDS)[number]; readonly seeds: number }
  /** A hard day on real servers, see hard-day.ts. */
  | { readonly place: "servers" };

export interface Hunk {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** A patch that can't be read, or that does not fit the build any more. */
export class PlantedPatchError extends Error {}

const FOLDER = fileURLToPath(new URL("../../planted/", import.meta.url));
const ENDING = ".patch";

/** All of test/planted, by name. @throws PlantedPatchError */
export function readPatches(): readonly PlantedPatch[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(ENDING));
  return names
    .sort()
    .map((name) => parsePatch(name.slice(0, -ENDING.length), readFileSync(join(FOLDER, name), "utf8")));
}

/** @throws PlantedPatchError */
export function parsePatch(name: string, text: string): PlantedPatch {
  const begin = text.indexOf("\n--- ");
  if (begin === -1) throw new PlantedPatchError(`${name}: expected a line "--- dist/…", found none`);
  const [title = "", ...head] = text.slice(0, begin).split("\n");
  const fields = new Map(
    head
      .filter((line) => line !== "")
      .map((line) => [line.split(":", 1)[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]),
  );
  const field = (key: string): string => {
    const value = fields.get(key);
    if (value === undefined || value === "") throw new PlantedPatchError(`${name}: expected a line "${key}: …"`);
    return value;
  };
  return {
    name,
    title,
    checker: field("checker"),
    runsIn: parseRun(name, field("runs in")),
    inCheck: fields.get("in check") === "yes",
    files: parseFiles(name, text.slice(begin + 1)),
  };
}

function parseRun(name: string, text: string): PlantedRun {
  const [, world = "", seeds = ""] = /^simulation (\w+), (\d+) seeds$/.exec(text) ?? [];
  const known = WORLDS.find((one) => one === world);
  if (known !== undefined) return { place: "simulation", world: known, seeds: Number(seeds) };
  if (text === "servers") return { place: "servers" };
  throw new PlantedPatchError(`${name}: expected "simulation WORLD, N seeds" or "servers", found "${text}"`);
}

function parseFiles(name: string, text: string): ReadonlyMap<string, readonly Hunk[]> {
  const files = new Map<string, Hunk[]>();
  let hunks: Hunk[] | null = null;
  let hunk: { readonly before: string[]; readonly after: string[] } | null = null;
  for (const line of text.trimEnd().split("\n")) {
    if (line.startsWith("--- ")) {
      hunks = files.get(line.slice(4)) ?? [];
      files.set(line.slice(4), hunks);
      hunk = null;
    } else if (line === "@@") {
      hunk = { before: [], after: [] };
      hunks?.push(hunk);
    } else {
      const [sign, rest] = [line.slice(0, 1), line.slice(1)];
      if (hunk === null || (sign !== " " && sign !== "-" && sign !== "+"))
        throw new PlantedPatchError(`${name}: can't read the line "${line}"`);
      if (sign !== "+") hunk.before.push(rest);
      if (sign !== "-") hunk.after.push(rest);
    }
  }
  for (const [file, own] of files)
    if (
      own.length === 0 ||
      own.some(({ before, after }) => before.length === 0 || before.join("\n") === after.join("\n"))
    )
      throw new PlantedPatchError(`${name}: a hunk of ${file} changes nothing, or has no line to be found by`);
  return files;
}

/** @param what of which patch and file, for the error. @throws PlantedPatchError when a hunk's lines are not there exactly once. */
export function applyHunks(what: string, text: string, hunks: readonly Hunk[]): string {
  return hunks.reduce((before, hunk) => applyHunk(what, before, hunk), text);
}

function applyHunk(what: string, text: string, { before, after }: Hunk): string {
  const lines = text.split("\n");
  const places = lines.flatMap((_line, at) => (before.every((line, index) => lines[at + index] === line) ? [at] : []));
  const [place] = places;
  if (place === undefined || places.length > 1)
    throw new PlantedPatchError(
      `${what}: expected these lines once, found them ${String(places.length)} times; the build has changed, so plant the bug anew:\n${before.join("\n")}`,
    );
  return [...lines.slice(0, place), ...after, ...lines.slice(place + before.length)].join("\n");
}
