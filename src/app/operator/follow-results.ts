import { randomUUID } from "node:crypto";
import kafkajs, { type Consumer } from "kafkajs";
import type { Config } from "../../config/config.js";
import { clientOptions } from "../../adapters/kafka/topics.js";
import { forTenant } from "../../domain/job/reply.js";
import { openValueText } from "./read-values.js";

const { Kafka } = kafkajs; // a CommonJS package: Node finds only some of its exports by name

/** The topics that results go to by default: one, or one a tenant. */
export function resultsTopics(config: Config): readonly string[] {
  const { name } = config.topics.results;
  return name.includes("{tenant}") ? Object.keys(config.tenants).map((tenant) => forTenant(name, tenant)) : [name];
}

export interface SeenRecord {
  readonly topic: string;
  readonly value: Buffer | null;
  readonly header: (name: string) => string | null;
}

/** Name of a group of one reader's own, so that nobody else's positions are touched. */
export function readerGroup(config: Config): string {
  return `sluice-${config.environment}-reader-${randomUUID()}`;
}

/** A reader that commits nothing. */
export function openReader(config: Config, groupId: string): Consumer {
  const kafka = new Kafka({
    ...clientOptions(config.kafka),
    retry: { retries: 8, initialRetryTime: 200, maxRetryTime: 1000 },
  });
  return kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 200,
  });
}

export async function runReader(
  consumer: Consumer,
  onRecord: (record: SeenRecord) => void | Promise<void>,
): Promise<void> {
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, message }) => {
      await onRecord({ topic, value: message.value, header: (name) => textOf(message.headers?.[name]) });
    },
  });
}

function textOf(value: string | Buffer | (string | Buffer)[] | undefined): string | null {
  const first = Array.isArray(value) ? value[0] : value;
  return first === undefined ? null : first.toString();
}

/**
 * Hands over results as they come until the signal, each as the text of its value, Avro in words.
 * @throws Error when a value can't be read.
 */
export async function followResults(
  config: Config,
  fromBeginning: boolean,
  signal: AbortSignal,
  onResult: (text: string) => void,
): Promise<void> {
  const consumer = openReader(config, readerGroup(config));
  const valueText = openValueText(config);
  const unreadable = new AbortController();
  const over = AbortSignal.any([signal, unreadable.signal]);
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [...resultsTopics(config)], fromBeginning });
    await runReader(consumer, async ({ value }) => {
      if (value === null || over.aborted) return;
      try {
        onResult(await valueText(value));
      } catch (error) {
        unreadable.abort(error); // thrown here, the client would only read it again
      }
    });
    if (!over.aborted)
      await new Promise<void>((resolve) => {
        over.addEventListener(
          "abort",
          () => {
            resolve();
          },
          { once: true },
        );
      });
  } finally {
    await consumer.disconnect();
  }
  if (!signal.aborted) unreadable.signal.throwIfAborted();
}
