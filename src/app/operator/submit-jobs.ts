import { randomUUID } from "node:crypto";
import kafkajs, { type Producer } from "kafkajs";
import { untilSettled } from "../../adapters/kafka/until-settled.js";
import { systemClock } from "../../adapters/system/system-clock.js";
import type { Config } from "../../config/config.js";
import { clientOptions, withAdmin } from "../../adapters/kafka/topics.js";
import { resultsTopics } from "./follow-results.js";
import type { LineDefaults } from "./from-openai-line.js";
import { readJobLines } from "./job-lines.js";
import { waitForAnswers, type AnswerReceipt, type StartOffsets } from "./wait-for-answers.js";

const { Kafka, Partitioners } = kafkajs; // a CommonJS package: Node finds only some of its exports by name

export interface SubmitOptions {
  readonly file: string;
  readonly topic: string;
  readonly wait: boolean;
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** For OpenAI batch lines. */
  readonly defaults: LineDefaults;
}

/** What a look through the file found; nothing was sent. */
export interface FileReport {
  readonly jobs: number;
  /** Of them: OpenAI batch lines. */
  readonly openaiLines: number;
  readonly bad: number;
  /** The first bad lines. */
  readonly problems: readonly { readonly line: number; readonly message: string }[];
  readonly replyTopics: readonly string[];
}

export interface SubmitReport {
  readonly topic: string;
  readonly submitted: number;
  /** Null without `wait`. */
  readonly receipt: AnswerReceipt | null;
}

const PROBLEMS_MAX = 20;
const REPLY_TOPICS_MAX = 50;
const RECORDS_PER_SEND = 500;

export async function checkFile(file: string, defaults: LineDefaults): Promise<FileReport> {
  const problems: { line: number; message: string }[] = [];
  const replyTopics = new Set<string>();
  let [jobs, openaiLines, bad] = [0, 0, 0];
  for await (const line of readJobLines(file, defaults)) {
    if (line.kind === "bad") {
      bad += 1;
      if (problems.length < PROBLEMS_MAX) problems.push({ line: line.number, message: line.message });
      continue;
    }
    jobs += 1;
    if (line.job.isOpenai) openaiLines += 1;
    if (line.job.replyTo !== null && replyTopics.size < REPLY_TOPICS_MAX) replyTopics.add(line.job.replyTo);
  }
  return { jobs, openaiLines, bad, problems, replyTopics: [...replyTopics] };
}

/**
 * Publishes the lines of a checked file as records with acks=all; key: the job's tenant. Sent again, jobs without an id of their own
 * are new jobs.
 */
export async function submitJobs(config: Config, options: SubmitOptions, checked: FileReport): Promise<SubmitReport> {
  const run = randomUUID();
  const before = options.wait
    ? await endsOf(config, [...resultsTopics(config), `${options.topic}.dlq`, ...checked.replyTopics])
    : null;
  const producer = new Kafka({ ...clientOptions(config.kafka), retry: { retries: 5, initialRetryTime: 200 } }).producer(
    {
      createPartitioner: Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
    },
  );
  await producer.connect();
  let submitted: number;
  try {
    submitted = await publishLines(producer, options, run);
  } finally {
    await producer.disconnect();
  }
  const receipt =
    before === null
      ? null
      : await waitForAnswers(config, {
          run,
          jobs: submitted,
          since: before,
          waitMs: options.waitMs,
          signal: options.signal,
        });
  return { topic: options.topic, submitted, receipt };
}

/** Where the topics end now: answers come behind that. A reply topic that is not there gets none. */
async function endsOf(config: Config, topics: readonly string[]): Promise<StartOffsets> {
  return withAdmin(config.kafka, async (admin) => {
    const known = new Set(await admin.listTopics());
    const ends: { topic: string; partition: number; offset: string }[] = [];
    for (const topic of new Set(topics)) {
      // Serial: a handful of topics, through one connection.
      if (known.has(topic))
        ends.push(
          ...(await untilSettled(systemClock, () => admin.fetchTopicOffsets(topic))).map(({ partition, high }) => ({
            topic,
            partition,
            offset: high,
          })),
        );
    }
    return ends;
  });
}

async function publishLines(producer: Producer, options: SubmitOptions, run: string): Promise<number> {
  const { file, topic, signal, defaults } = options;
  let group: { key: string | null; value: string; headers: Record<string, string> }[] = [];
  let sent = 0;
  const send = async (): Promise<void> => {
    if (group.length === 0) return;
    await producer.send({ topic, acks: -1, messages: group });
    sent += group.length;
    group = [];
  };
  for await (const line of readJobLines(file, defaults)) {
    if (signal.aborted) break;
    if (line.kind === "bad")
      throw new Error(`line ${String(line.number)} changed while the file was read: ${line.message}`);
    group.push({
      key: line.job.tenant,
      value: line.job.text,
      headers: { kafka_correlationId: `${run}/${String(line.job.number)}` },
    });
    if (group.length >= RECORDS_PER_SEND) await send();
  }
  await send();
  return sent;
}
