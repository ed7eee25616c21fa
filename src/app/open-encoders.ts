import { openAvroEncoder } from "../adapters/registry/avro-encoder.js";
import type { Config } from "../config/config.js";
import { ownReplyTopics } from "../config/topic-list.js";
import type { ValueEncoder, ValueEncoders } from "../domain/result/rendering.js";

/**
 * Encoders of the topics whose encoding is not JSON. Asks the registry once for each of those, and never when there is none.
 * @throws SchemaMissingError, RegistryUnavailableError
 */
export async function openEncoders(config: Config): Promise<ValueEncoders> {
  const { results, costs, events } = config.topics;
  const open = (file: string, topics: readonly [string, ...string[]]): Promise<ValueEncoder> => {
    const { url } = config.registry;
    if (url === null)
      throw new Error("InvariantError: a topic is in Avro without a registry; the config rules refuse it");
    return openAvroEncoder({ ...config.registry, url }, file, topics);
  };
  return {
    result: results.encoding === "avro" ? await open("result.avsc", [results.name, ...ownReplyTopics(config)]) : null,
    cost: costs.encoding === "avro" ? await open("cost.avsc", [costs.name]) : null,
    event: events.encoding === "avro" ? await open("event.avsc", [events.name]) : null,
  };
}
