import type { ConfigPath } from "./config-path.js";

/** The parts of a JSON Schema that lead to a section's keys. */
interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** Names of the keys that the section at `path` may have, from the published schema; empty where the operator chooses names. */
export function knownKeys(schema: Readonly<Record<string, unknown>>, path: ConfigPath): readonly string[] {
  let node: SchemaNode | undefined = sectionOf(schema);
  for (const part of path) {
    if (node === undefined) return [];
    const child: SchemaNode | boolean | undefined =
      typeof part === "number" ? node.items : (node.properties?.[part] ?? node.additionalProperties);
    node = typeof child === "object" ? sectionOf(child) : undefined;
  }
  return Object.keys(node?.properties ?? {});
}

function sectionOf(node: SchemaNode): SchemaNode {
  return node.anyOf?.find((option) => option.properties !== undefined || option.items !== undefined) ?? node;
}
