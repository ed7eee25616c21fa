import { createFindSchema } from "../../adapters/registry/registry-client.js";
import { createValueText, type ValueText } from "../../adapters/registry/value-text.js";
import type { Config } from "../../config/config.js";

/** Published values as text; the registry is asked only for those in Avro. */
export function openValueText(config: Config): ValueText {
  const { url } = config.registry;
  return createValueText(url === null ? null : createFindSchema({ ...config.registry, url }));
}
