import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit, type Document, type Node } from "yaml";
import type { ConfigPath } from "./config-path.js";

/** A config file of more than this is a mistake, and parsing it would cost memory. */
const TEXT_CHARACTERS_MAX = 1_048_576;
/** An alias may be repeated, but a few lines must not become gigabytes ("billion laughs"). */
const ALIASES_MAX = 100;

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** The YAML document with its positions kept, so that each problem can say where it is. */
export interface ConfigDocument {
  /** Replaces each text value; `replace` may return null to leave it as it is. */
  mapTexts(replace: (text: string, place: Place) => string | null): void;
  /** The document as plain data. Throws for aliases beyond the bound. */
  toData(): unknown;
  /** Place of the key that ends `path`, else of the nearest thing above it that exists. */
  keyPlace(path: ConfigPath): Place;
  /** Place of the value at `path`, else of the nearest thing above it that exists. */
  valuePlace(path: ConfigPath): Place;
}

export type DocumentReading =
  | { readonly ok: true; readonly document: ConfigDocument }
  | { readonly ok: false; readonly problems: readonly (Place & { readonly message: string })[] };

/** Reads YAML 1.2. Repeated keys, several documents and broken syntax are problems, all of them reported. */
export function readDocument(text: string): DocumentReading {
  if (text.length > TEXT_CHARACTERS_MAX) {
    return {
      ok: false,
      problems: [
        {
          line: 1,
          column: 1,
          message: `expected at most ${String(TEXT_CHARACTERS_MAX)} characters, got ${String(text.length)}`,
        },
      ],
    };
  }
  const lines = new LineCounter();
  // Warnings would go to Node, which prints them; what they warn of, such as a map in the place of a key, is refused by name.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: "1.2", logLevel: "error" });
  if (document.errors.length > 0) {
    return {
      ok: false,
      problems: document.errors.map((error) => ({
        ...placeAt(lines, error.pos[0]),
        message: `not valid YAML: ${error.message}`,
      })),
    };
  }
  if (!isMap(document.contents)) {
    return {
      ok: false,
      problems: [
        {
          line: 1,
          column: 1,
          message: "expected a YAML map with keys such as environment and kafka; the file holds none",
        },
      ],
    };
  }
  return { ok: true, document: withPlaces(document, lines) };
}

function withPlaces(document: Document.Parsed, lines: LineCounter): ConfigDocument {
  const placeOf = (node: Node | null): Place => placeAt(lines, node?.range?.[0] ?? 0);
  return {
    mapTexts(replace) {
      visit(document, {
        Scalar(key, node) {
          if (key === "key" || typeof node.value !== "string") return;
          const replaced = replace(node.value, placeOf(node));
          if (replaced !== null) node.value = replaced;
        },
      });
    },
    toData: () => document.toJS({ maxAliasCount: ALIASES_MAX }) as unknown,
    keyPlace: (path) => placeOf(find(document, path).key),
    valuePlace: (path) => placeOf(find(document, path).value),
  };
}

interface Found {
  readonly key: Node | null;
  readonly value: Node | null;
}

function find(document: Document.Parsed, path: ConfigPath): Found {
  let found: Found = { key: document.contents, value: document.contents };
  for (const part of path) {
    const next = childOf(document, found.value, part);
    if (next === null) return { key: found.key, value: found.key };
    found = next;
  }
  return found;
}

function childOf(document: Document.Parsed, parent: Node | null, part: string | number): Found | null {
  const node = isAlias(parent) ? parent.resolve(document) : parent;
  if (isSeq(node) && typeof part === "number") {
    const item = node.items[part];
    return isNode(item) ? { key: item, value: item } : null;
  }
  if (!isMap(node)) return null;
  const pair = node.items.find((candidate) => isScalar(candidate.key) && String(candidate.key.value) === String(part));
  if (pair === undefined || !isNode(pair.key)) return null;
  return { key: pair.key, value: isNode(pair.value) ? pair.value : pair.key };
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value);
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
