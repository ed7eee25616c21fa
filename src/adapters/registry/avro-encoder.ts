import avro from "avsc";
import type { Schema, Type } from "avsc";
import type { ValueEncoder } from "../../domain/result/rendering.js";
import { SCHEMAS_DIRECTORY } from "./job-schema.js";
import { registeredId, schemaText } from "./register-schemas.js";
import { createRegistryClient, messageOf, within } from "./registry-client.js";
import type { RegistrySettings } from "./registry-client.js";
import { REGISTRY_MAGIC_BYTE } from "../../ports/value-decoder.js";

/** A topic is to hold Avro and its schema is not in the registry: ends the start. */
export class SchemaMissingError extends Error {
  override readonly name = "SchemaMissingError";
}

/** The registry could not be asked for a schema's id: ends the start. */
export class RegistryUnavailableError extends Error {
  override readonly name = "RegistryUnavailableError";
}

/** Of values in the Confluent wire format (schemas/asyncapi.yaml). */
const AVRO_CONTENT_TYPE = "application/vnd.apache.avro";
const HEADER_BYTES = 5;

/**
 * An encoder into the Confluent wire format with a published schema. The schema's ids are asked for here, once; nothing is registered.
 * @param file a file of schemas/
 * @param topics the encoder's topics. A value for a topic that is not among them (one that was taken out of the config while its jobs ran)
 *   gets the id of the first: registries give one schema one id.
 * @throws SchemaMissingError naming each subject that lacks the schema; RegistryUnavailableError
 */
export async function openAvroEncoder(
  settings: RegistrySettings,
  file: string,
  topics: readonly [string, ...string[]],
  directory: URL = SCHEMAS_DIRECTORY,
): Promise<ValueEncoder> {
  const schema = schemaText(file, directory);
  const ids = await schemaIds(settings, file, topics, schema);
  return createAvroEncoder(JSON.parse(schema) as Schema, topics[0], ids); // our file, which the schema tests read too
}

/** @param ids schema id by topic; `usual` is one of them. */
export function createAvroEncoder(schema: Schema, usual: string, ids: ReadonlyMap<string, number>): ValueEncoder {
  const type = avro.Type.forSchema(schema, { registry: { long: wholeNumber() } });
  const heads = new Map([...ids].map(([topic, id]) => [topic, headOf(id)]));
  const usualHead = heads.get(usual);
  if (usualHead === undefined) throw new Error(`InvariantError: ${usual} has no schema id`);
  return {
    contentType: AVRO_CONTENT_TYPE,
    encode: (topic, record) => Buffer.concat([heads.get(topic) ?? usualHead, type.toBuffer(record)]),
  };
}

async function schemaIds(
  settings: RegistrySettings,
  file: string,
  topics: readonly string[],
  schema: string,
): Promise<ReadonlyMap<string, number>> {
  const client = createRegistryClient(settings);
  const found = await Promise.all(topics.map(async (topic) => [topic, await idOf(`${topic}-value`, schema)] as const));
  const missing = found.flatMap(([topic, id]) => (id === null ? [`${topic}-value`] : []));
  if (missing.length > 0) {
    throw new SchemaMissingError(
      `expected the schema ${file} under ${missing.join(", ")} in the registry, since topics are in Avro; run: sluice schemas register`,
    );
  }
  return new Map(found.flatMap(([topic, id]) => (id === null ? [] : [[topic, id] as const])));

  async function idOf(subject: string, text: string): Promise<number | null> {
    try {
      return await within(settings.timeoutMs, registeredId(client, subject, text));
    } catch (error) {
      throw new RegistryUnavailableError(`the schema registry could not be asked for ${subject}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

function headOf(id: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt8(REGISTRY_MAGIC_BYTE);
  head.writeUInt32BE(id, 1);
  return head;
}

/** Avro's long over all its 64 bits: the library's own ends at 2^53, which as nano-dollars is 9 million dollars. */
function wholeNumber(): Type {
  return avro.types.LongType.__with({
    fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
    toBuffer: (value: bigint | number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(value));
      return bytes;
    },
    fromJSON: BigInt,
    toJSON: String,
    isValid: (value: unknown) => typeof value === "bigint" || Number.isSafeInteger(value),
    compare: (one: bigint | number, other: bigint | number) => (one < other ? -1 : one > other ? 1 : 0),
  });
}
