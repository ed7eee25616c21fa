import { SchemaRegistry } from "@kafkajs/confluent-schema-registry";
import avro from "avsc";
import type { Type } from "avsc";

export interface RegistrySettings {
  /** Base address of the Confluent API, like `http://registry:8081`. */
  readonly url: string;
  readonly username: string | null;
  readonly password: string | null;
  /** For one question to the registry, all its repeats included. */
  readonly timeoutMs: number;
}

/** What the registry says about a schema id. */
export type SchemaAnswer =
  | { readonly kind: "schema"; readonly type: Type }
  | { readonly kind: "not_avro" }
  | { readonly kind: "unknown" }
  | { readonly kind: "unavailable"; readonly message: string };

/** Asks for one schema. */
export type FindSchema = (id: number) => Promise<SchemaAnswer>;

const NOT_FOUND = 404;
/**
 * A 404 that says nothing of a schema: without a message it is a proxy's or another server's, and "HTTP 404 Not Found" is what a Confluent
 * registry says of an address that it does not have. A wrong `registry.url` must not refuse every record.
 */
const NO_WORD_OF_A_SCHEMA = /^sluice - (?:Error, status 404|HTTP 404)/;
/** Repeats of a question that got no answer or a 5xx; the client waits a little longer each time, within `timeoutMs` in all. */
const REPEATS_MAX = 2;

export function createRegistryClient(settings: RegistrySettings): SchemaRegistry {
  const { username, password } = settings;
  return new SchemaRegistry({
    host: settings.url.replace(/\/+$/, ""),
    clientId: "sluice",
    retry: { retries: REPEATS_MAX, maxRetryTimeInSecs: settings.timeoutMs / 1000 },
    ...(username === null || password === null ? {} : { auth: { username, password } }),
  });
}

/** Schemas by id, straight from the registry: keeping them is the decoder's business. */
export function createFindSchema(settings: RegistrySettings): FindSchema {
  const client = createRegistryClient(settings);
  return async (id) => {
    try {
      const schema: unknown = await within(settings.timeoutMs, client.getSchema(id));
      return avro.Type.isType(schema) ? { kind: "schema", type: schema as Type } : { kind: "not_avro" }; // proven by isType
    } catch (error) {
      return answerOf(error, settings.url);
    } finally {
      client.cache.clear(); // it keeps every schema for ever
    }
  };
}

function answerOf(error: unknown, url: string): SchemaAnswer {
  if (statusOf(error) !== NOT_FOUND) return { kind: "unavailable", message: messageOf(error) };
  if (!(error instanceof Error) || !NO_WORD_OF_A_SCHEMA.test(error.message)) return { kind: "unknown" };
  const message = `expected a registry's answer at ${url}, got a 404 that says nothing of a schema: is registry.url right?`;
  return { kind: "unavailable", message };
}

/** HTTP status of a registry's refusal; null when there was no answer, which the client's library reports as a 400 of its own. */
export function statusOf(error: unknown): number | null {
  const status = typeof error === "object" && error !== null && "status" in error ? error.status : null;
  return typeof status === "number" && status !== 400 ? status : null;
}

/** What went wrong, without the client's decoration. */
export function messageOf(error: unknown): string {
  const status = statusOf(error);
  const text = error instanceof Error ? error.message.replace(/^sluice - (?:Error, status \d+: )?/, "") : "";
  if (text !== "" && !text.includes("[object")) return text;
  return status === null ? "no answer" : `the registry answered ${String(status)}`;
}

/** The client has no time limit of its own; what comes after it is dropped. */
export async function within<Value>(timeoutMs: number, promise: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${String(timeoutMs)} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
