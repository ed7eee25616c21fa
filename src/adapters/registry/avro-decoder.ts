import { readFileSync } from "node:fs";
import type { DecodedValue } from "../../ports/broker.js";
import type { Clock } from "../../ports/system.js";
import { REGISTRY_MAGIC_BYTE } from "../../ports/value-decoder.js";
import type { ValueDecoder, ValueDecoding } from "../../ports/value-decoder.js";
import { checkAvro } from "./check-avro.js";
import { SCHEMAS_DIRECTORY } from "./job-schema.js";
import { matchSchemas } from "./match-schemas.js";
import type { RawRecord, SchemaMatch } from "./match-schemas.js";
import type { FindSchema, SchemaAnswer } from "./registry-client.js";
import type { Type } from "avsc";

export interface AvroDecoderSettings {
  /** Longer values are refused before a byte of them is looked at. */
  readonly valueBytesMax: number;
  /** How long an id that the registry doesn't know is believed to be unknown. */
  readonly negativeCacheMs: number;
}

/** Schemas kept; the one used longest ago goes first. Producers have a handful. */
const SCHEMAS_MAX = 500;
/** Ids kept as unknown. */
const UNKNOWN_IDS_MAX = 1_000;
/** A schema that was registered a moment ago may not have reached every node of the registry. */
const UNKNOWN_LOOKS_MAX = 3;
const UNKNOWN_WAIT_MS = 100;

const HEADER_BYTES = 5;

/** A writer's schema, looked at once. */
interface KnownSchema {
  readonly writer: Type | null;
  readonly match: SchemaMatch;
}

type Finding =
  | { readonly kind: "known"; readonly known: KnownSchema }
  | Exclude<SchemaAnswer, { readonly kind: "schema" | "not_avro" }>;

/**
 * Decodes jobs from the Confluent wire format into the fields of schemas/job.avsc.
 * @param directory where job.avsc lies, as a URL that ends in a slash.
 * @throws what reading the schema throws: only at start.
 */
export function createAvroDecoder(
  settings: AvroDecoderSettings,
  findSchema: FindSchema,
  clock: Clock,
  directory: URL = SCHEMAS_DIRECTORY,
): ValueDecoder {
  // The file is ours; the schema tests read it too.
  const ours = JSON.parse(readFileSync(new URL("job.avsc", directory), "utf8")) as RawRecord;
  return new AvroDecoder(settings, findSchema, clock, ours);
}

class AvroDecoder implements ValueDecoder {
  private readonly settings: AvroDecoderSettings;
  private readonly findSchema: FindSchema;
  private readonly clock: Clock;
  private readonly ours: RawRecord;
  /** In the order of their last use. */
  private readonly schemas = new Map<number, KnownSchema>();
  /** Id to the time until which it counts as unknown. */
  private readonly unknownIds = new Map<number, number>();
  /** One question an id, whoever waits for it. */
  private readonly asked = new Map<number, Promise<Finding>>();

  constructor(settings: AvroDecoderSettings, findSchema: FindSchema, clock: Clock, ours: RawRecord) {
    this.settings = settings;
    this.findSchema = findSchema;
    this.clock = clock;
    this.ours = ours;
  }

  async decode(value: Buffer, signal?: AbortSignal): Promise<ValueDecoding> {
    const { valueBytesMax } = this.settings;
    if (value.length > valueBytesMax) {
      return refused(
        "TOO_LARGE",
        `value: expected at most ${String(valueBytesMax)} bytes (limits.intake.valueBytesMax), got ${String(value.length)}`,
      );
    }
    if (value[0] !== REGISTRY_MAGIC_BYTE || value.length < HEADER_BYTES) {
      return refused(
        "BAD_AVRO",
        `value: expected the byte 0 and a schema id of 4 bytes, got ${String(value.length)} bytes without`,
      );
    }
    const id = value.readUInt32BE(1);
    const known = this.cached(id);
    const finding: Finding = known === null ? await this.find(id, signal) : { kind: "known", known };
    switch (finding.kind) {
      case "known":
        return decodeWith(finding.known, id, value.subarray(HEADER_BYTES));
      case "unknown":
        return refused(
          "UNKNOWN_SCHEMA",
          `value: expected the id of a schema in the registry, got ${String(id)}, which it does not know`,
        );
      case "unavailable":
        return { kind: "unavailable", message: `schema ${String(id)}: ${finding.message}` };
    }
  }

  private cached(id: number): KnownSchema | null {
    const known = this.schemas.get(id);
    if (known === undefined) return null;
    this.schemas.delete(id);
    this.schemas.set(id, known);
    return known;
  }

  private async find(id: number, signal: AbortSignal | undefined): Promise<Finding> {
    const until = this.unknownIds.get(id);
    if (until !== undefined && this.clock.monotonicMs() < until) return { kind: "unknown" };
    this.unknownIds.delete(id);
    const asked = this.asked.get(id) ?? this.ask(id);
    return signal === undefined ? asked : untilAborted(asked, signal);
  }

  private ask(id: number): Promise<Finding> {
    const asked = this.look(id).finally(() => this.asked.delete(id));
    this.asked.set(id, asked);
    return asked;
  }

  private async look(id: number): Promise<Finding> {
    for (let looks = 1; ; looks += 1) {
      const answer = await this.findSchema(id); // one after the other: each look is there because the one before found nothing
      if (answer.kind === "schema")
        return this.keep(id, { writer: answer.type, match: matchSchemas(this.ours, answer.type) });
      if (answer.kind === "not_avro") {
        return this.keep(id, {
          writer: null,
          match: { kind: "incompatible", message: "expected an Avro schema, got one of another type" },
        });
      }
      if (answer.kind === "unavailable") return answer;
      if (looks === UNKNOWN_LOOKS_MAX) break;
      await this.clock.sleep(UNKNOWN_WAIT_MS * looks);
    }
    dropOldest(this.unknownIds, UNKNOWN_IDS_MAX);
    this.unknownIds.set(id, this.clock.monotonicMs() + this.settings.negativeCacheMs);
    return { kind: "unknown" };
  }

  private keep(id: number, known: KnownSchema): Finding {
    dropOldest(this.schemas, SCHEMAS_MAX);
    this.schemas.set(id, known);
    return { kind: "known", known };
  }
}

function decodeWith({ writer, match }: KnownSchema, id: number, payload: Buffer): DecodedValue {
  if (writer === null || match.kind === "incompatible") {
    return refused(
      "BAD_AVRO",
      `schema ${String(id)}: ${match.kind === "incompatible" ? match.message : "expected a record"}`,
    );
  }
  const problem = checkAvro(writer, payload);
  if (problem !== null) {
    return refused(
      problem.code,
      `${problem.path === "" ? "value" : `field ${problem.path}`}: ${problem.message} (schema ${String(id)})`,
    );
  }
  try {
    const fields = match.decode(payload);
    if (typeof fields !== "object" || fields === null)
      return refused("BAD_AVRO", `value: expected a record (schema ${String(id)})`);
    return { kind: "decoded", document: { fields: { ...fields }, unknownFields: match.unknownFields } };
  } catch {
    // The check above took the bytes, so this is a number beyond 2^53. The decoder's message may quote the value.
    return refused(
      "BAD_AVRO",
      `value: expected numbers within 2^53, got one that can't be read exactly (schema ${String(id)})`,
    );
  }
}

function refused(code: "BAD_AVRO" | "BAD_UTF8" | "UNKNOWN_SCHEMA" | "TOO_LARGE", message: string): DecodedValue {
  return { kind: "refused", code, message };
}

/** Stops waiting, not the question: others may wait for it too. The listener goes with the wait, since signals live long. */
async function untilAborted(asked: Promise<Finding>, signal: AbortSignal): Promise<Finding> {
  let stop = (): void => undefined;
  const aborted = new Promise<Finding>((resolve) => {
    stop = () => {
      resolve({ kind: "unavailable", message: "stopped waiting for the registry" });
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([asked, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Makes room for one more: a Map keeps the order in which its keys were set. */
function dropOldest<Value>(map: Map<number, Value>, sizeMax: number): void {
  if (map.size < sizeMax) return;
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
