import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { parse, parseDocument } from "yaml";
import { EVENT_KINDS } from "../../src/domain/event/event.js";
import type { SchemaNode } from "../support/schema-node.js";

const DOCUMENTS = [
  "README.md",
  "ARCHITECTURE.md",
  "DECISIONS.md",
  "docker-compose.yml",
  "deploy/Dockerfile",
  "deploy/gateway.yaml",
  "src/adapters/providers/README.md",
];

const ROOT = JSON.parse(readFileSync("schemas/config.schema.json", "utf8")) as SchemaNode; // a test holds it to the code
/** A document that speaks of an account, or of a model, may leave out how its section is reached. */
const PLACES = [[], ["providers", "NAME"], ["models", "NAME"], ["providers", "NAME", "limits"]];

function childrenOf(node: SchemaNode, key: string): readonly SchemaNode[] {
  const nodes = [node, ...(node.anyOf ?? [])];
  const named = nodes.flatMap(({ properties }) => properties?.[key] ?? []);
  if (named.length > 0) return named;
  return nodes.flatMap(({ additionalProperties, items }) => [
    ...(typeof additionalProperties === "object" ? [additionalProperties] : []),
    ...(items === undefined ? [] : childrenOf(items, key)),
  ]);
}

function nodesAt(path: readonly string[]): readonly SchemaNode[] {
  return path.reduce<readonly SchemaNode[]>((nodes, key) => nodes.flatMap((node) => childrenOf(node, key)), [ROOT]);
}

function isKnown(path: readonly string[]): boolean {
  return PLACES.some((place) => nodesAt([...place, ...path]).length > 0);
}

const FIRST = new Set(PLACES.flatMap((place) => nodesAt(place).flatMap((node) => Object.keys(node.properties ?? {}))));

/** Dotted names that begin with a section of the config, as text and comments have them: `shutdown.graceMs`, `models.NAME.order`. */
function namesIn(text: string): readonly string[] {
  const dotted = /(?<![\w./*-])[a-z][A-Za-z]*(?:\.[A-Za-z][A-Za-z]*)+(?![\w/-]|\.[a-z])/g;
  const names = [...text.matchAll(dotted)].map(([name]) => name);
  return [...new Set(names)].filter((name) => FIRST.has(name.split(".")[0] ?? "") && !isOtherName(name));
}

/** Of a file or an event: those have lists of their own. */
function isOtherName(name: string): boolean {
  return /\.(?:md|ts|yml|yaml|json|sql|mjs)$/.test(name) || Object.hasOwn(EVENT_KINDS, name);
}

/** Each `yaml` block of a document. */
function yamlIn(text: string): readonly string[] {
  return [...text.matchAll(/```yaml\n(.*?)```/gs)].map(([, block]) => block ?? "");
}

function pathsOf(value: unknown, before: readonly string[] = []): readonly (readonly string[])[] {
  if (Array.isArray(value)) return value.flatMap((item) => pathsOf(item, before));
  if (typeof value !== "object" || value === null) return [before];
  return Object.entries(value).flatMap(([key, child]) => pathsOf(child, [...before, key]));
}

describe("what documents say of the config", () => {
  test.each(DOCUMENTS)("%s names only keys that there are", (file) => {
    const unknown = namesIn(readFileSync(file, "utf8")).filter((name) => !isKnown(name.split(".")));
    expect(unknown).toEqual([]);
  });

  test("README's examples have only keys that there are", () => {
    const blocks = yamlIn(readFileSync("README.md", "utf8"));
    expect(blocks.length).toBeGreaterThan(3);
    for (const block of blocks) {
      expect(parseDocument(block).errors).toEqual([]);
      expect(pathsOf(parse(block)).filter((path) => !isKnown(path))).toEqual([]);
    }
  });

  test("a name that there is not would be seen", () => {
    const names = namesIn(
      "`shutdown.drainMs`, below delivery.sendWithinMs. See `models.NAME.order`, README.md, batch.rescued",
    );
    expect(names.filter((name) => !isKnown(name.split(".")))).toEqual(["shutdown.drainMs"]);
  });
});

describe("ARCHITECTURE.md", () => {
  const text = readFileSync("ARCHITECTURE.md", "utf8");

  test("fits one screen", () => {
    const lines = text.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(60);
    expect(lines.filter((line) => line.length > 120)).toEqual([]);
  });

  test("names folders and files that there are", () => {
    const paths = [...text.matchAll(/`((?:src|schemas|test)(?:\/[\w.-]+)*)`|\]\(([^)]+)\)/g)].map(
      ([, path, link]) => path ?? link ?? "",
    );
    expect(paths.length).toBeGreaterThan(15);
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });
});
