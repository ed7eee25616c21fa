import { parseCost } from "../../demo/reader/cost-record.js";
import { parseObject, textField, timeField } from "../../demo/reader/json-fields.js";
import { parseResult } from "../../demo/reader/result-record.js";
import { scanTopics } from "../../demo/reader/read-topics.js";
import { headerText, recordNumber, valueDigest, wholeNumber } from "./record.js";
import type {
  CostRecord,
  DeadLetterRecord,
  EventRecord,
  InputRecord,
  ResultRecord,
  TopicEvidence,
  TopicRecord,
} from "./evidence.js";

/** Names of the topics of a run. */
export interface RunTopics {
  readonly jobs: readonly string[];
  readonly results: readonly string[];
  readonly costs: string;
  readonly deadLetters: readonly string[];
  readonly events: string;
}

/**
 * Reads all topics of a run from their first record. Of the jobs topics only digests are kept, of the others every byte: the buffers lie
 * outside of JavaScript's heap, some 250 MB for 60,000 jobs.
 * @throws what `scanTopics` throws.
 */
export async function readTopicEvidence(options: {
  readonly brokers: readonly string[];
  readonly topics: RunTopics;
  readonly timeoutMs: number;
}): Promise<TopicEvidence> {
  const { topics } = options;
  const collected = new TopicCollection(topics);
  await scanTopics(
    {
      brokers: options.brokers,
      topics: [...topics.jobs, ...topics.results, topics.costs, ...topics.deadLetters, topics.events],
      timeoutMs: options.timeoutMs,
    },
    (record) => {
      collected.add(record);
    },
  );
  return collected.evidence();
}

/** Sorts records into what their topics promise. */
export class TopicCollection {
  readonly #topics: RunTopics;
  readonly #inputs: InputRecord[] = [];
  readonly #results: ResultRecord[] = [];
  readonly #costs: CostRecord[] = [];
  readonly #deadLetters: DeadLetterRecord[] = [];
  readonly #events: EventRecord[] = [];
  readonly #unreadable: TopicRecord[] = [];

  constructor(topics: RunTopics) {
    this.#topics = topics;
  }

  add(record: TopicRecord): void {
    const { topic } = record;
    if (this.#topics.jobs.includes(topic)) this.#inputs.push(toInput(record));
    else if (this.#topics.results.includes(topic)) this.#keep(this.#results, parseResult(record), record);
    else if (topic === this.#topics.costs) this.#keep(this.#costs, parseCost(record), record);
    else if (topic === this.#topics.events) this.#keep(this.#events, toEvent(record), record);
    else this.#keep(this.#deadLetters, toDeadLetter(record), record);
  }

  /** In order of topic, partition and offset, whatever order they came in. */
  evidence(): TopicEvidence {
    return {
      inputs: this.#inputs.sort(byPlace),
      results: this.#results.sort((a, b) => byPlace(a.record, b.record)),
      costs: this.#costs.sort((a, b) => byPlace(a.record, b.record)),
      deadLetters: this.#deadLetters.sort((a, b) => byPlace(a.record, b.record)),
      events: this.#events.sort((a, b) => byPlace(a.record, b.record)),
      unreadable: this.#unreadable,
    };
  }

  #keep<Parsed>(list: Parsed[], parsed: Parsed | null, record: TopicRecord): void {
    if (parsed === null) this.#unreadable.push(record);
    else list.push(parsed);
  }
}

type Place = Pick<TopicRecord, "topic" | "partition" | "offset">;

function byPlace(a: Place, b: Place): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1;
  return a.partition - b.partition || Number(a.offset) - Number(b.offset);
}

function toInput(record: TopicRecord): InputRecord {
  return {
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    timestampMs: record.timestampMs ?? 0,
    number: recordNumber(record),
    valueDigest: valueDigest(record.value),
  };
}

function toDeadLetter(record: TopicRecord): DeadLetterRecord | null {
  const code = headerText(record, "llm-error-code");
  if (code === null) return null;
  const [topic, partition, offset] = ["topic", "partition", "offset"].map((name) =>
    headerText(record, `__dlq.errors.${name}`),
  );
  const place = wholeNumber(partition ?? null);
  return {
    record,
    code,
    errorClass: headerText(record, "llm-error-class"),
    stage: headerText(record, "llm-error-stage"),
    message: headerText(record, "__dlq.errors.message"),
    origin:
      typeof topic === "string" && place !== null && wholeNumber(offset ?? null) !== null
        ? { topic, partition: place, offset: offset ?? "" }
        : null,
    attempts: wholeNumber(headerText(record, "llm-attempt")),
    replayCount: wholeNumber(headerText(record, "llm-replay-count")),
  };
}

function toEvent(record: TopicRecord): EventRecord | null {
  const value = record.value === null ? null : parseObject(record.value.toString("utf8"));
  if (value === null) return null;
  const [eventId, kind, message] = ["eventId", "kind", "message"].map((name) => textField(value, name));
  if (typeof eventId !== "string" || typeof kind !== "string" || typeof message !== "string") return null;
  return {
    record,
    eventId,
    kind,
    message,
    tenant: textField(value, "tenant"),
    jobId: textField(value, "jobId"),
    details: detailsOf(textField(value, "detailsJson")),
    atMs: timeField(value, "at"),
  };
}

function detailsOf(text: string | null): Readonly<Record<string, string>> {
  const details = text === null ? null : parseObject(text);
  if (details === null) return {};
  return Object.fromEntries(
    Object.entries(details).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
