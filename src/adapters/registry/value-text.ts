import type { Type } from "avsc";
import { REGISTRY_MAGIC_BYTE } from "../../ports/value-decoder.js";
import type { FindSchema } from "./registry-client.js";

/** A published value as a line of text. */
export type ValueText = (value: Buffer) => Promise<string>;

const HEADER_BYTES = 5;
/** Types kept; a topic holds a handful. */
const TYPES_MAX = 50;

/**
 * Values as commands print them: Avro as JSON in the fields of its schema, which the registry is asked for once; all else as it is.
 * The text throws Error when the schema can't be had or the bytes are no value of it.
 */
export function createValueText(findSchema: FindSchema | null): ValueText {
  const types = new Map<number, Type>();
  return async (value) => {
    if (value[0] !== REGISTRY_MAGIC_BYTE) return value.toString("utf8");
    const id = value.readUInt32BE(1);
    const type = types.get(id) ?? (await typeOf(findSchema, id));
    if (types.size >= TYPES_MAX) types.clear();
    types.set(id, type);
    return JSON.stringify(type.fromBuffer(value.subarray(HEADER_BYTES)));
  };
}

async function typeOf(findSchema: FindSchema | null, id: number): Promise<Type> {
  if (findSchema === null) throw new Error("the value is Avro: expected registry.url in the config, which is missing");
  const answer = await findSchema(id);
  switch (answer.kind) {
    case "schema":
      return answer.type;
    case "not_avro":
    case "unknown":
      throw new Error(`the value is Avro of schema ${String(id)}, which the registry does not have`);
    case "unavailable":
      throw new Error(`the value is Avro and the registry can't be asked for schema ${String(id)}: ${answer.message}`);
  }
}
