import type { IHeaders, Kafka, Message, Producer } from "kafkajs";
import type { Outgoing } from "../../domain/result/outgoing.js";
import type { Publisher } from "../../ports/broker.js";
import { installRecordEncoding } from "./record-encoding.js";

export interface PublisherSettings {
  readonly sendTimeoutMs: number;
}

/** Publishes with acks=all. A send that is not answered in time counts as failed and is made again: records have stable ids. */
export class RecordPublisher implements Publisher {
  readonly #producer: Producer;
  readonly #sendTimeoutMs: number;

  constructor(kafka: Kafka, settings: PublisherSettings) {
    installRecordEncoding();
    this.#producer = kafka.producer({
      allowAutoTopicCreation: false,
      retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 1000 },
    });
    this.#sendTimeoutMs = settings.sendTimeoutMs;
  }

  async connect(): Promise<void> {
    await this.#producer.connect();
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }

  async publish(topic: string, records: readonly Outgoing[]): Promise<void> {
    const sending = this.#producer.send({
      topic,
      acks: -1,
      timeout: this.#sendTimeoutMs,
      messages: records.map(toMessage),
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no acknowledgement from Kafka for ${String(this.#sendTimeoutMs * 2)} ms`));
      }, this.#sendTimeoutMs * 2);
    });
    try {
      await Promise.race([sending, late]);
    } finally {
      clearTimeout(timer);
      sending.catch(() => undefined);
    }
  }
}

function toMessage(record: Outgoing): Message {
  const message: Message = { key: record.key, value: record.value, headers: toHeaders(record.headers) };
  return record.partition === null ? message : { ...message, partition: record.partition };
}

/** A name that repeats keeps all its values, in order. */
function toHeaders(headers: Outgoing["headers"]): IHeaders {
  const result = Object.create(null) as IHeaders; // a caller may name a header `constructor`
  for (const [name, value] of headers) {
    const known = result[name];
    if (known === undefined) result[name] = value;
    else result[name] = Array.isArray(known) ? [...known, value] : [known, value];
  }
  return result;
}
