import { appendFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CompressionTypes, Kafka, logLevel, Partitioners } from "kafkajs";
import type { Message } from "kafkajs";
import type { FilmJob } from "./film-jobs.js";
import { JOBS_PER_MALFORMED_RECORD, malformedRecord } from "./malformed-records.js";
import { base64OrNull } from "./reader/topic-record.js";
import { malformedLine, promptDigest, publishedJobLine } from "./reader/published-list.js";

/** Turns a job into the bytes of its record's value. */
export type JobEncoder = (job: FilmJob) => Promise<Buffer>;

export interface PublishOptions {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly jobs: readonly FilmJob[];
  readonly encode: JobEncoder;
  /** Where the list of what was published goes, one JSON object a line; replaced. */
  readonly listFile: string;
  /** How many jobs may be published by now; asked again and again until it reaches all of them. */
  readonly allowedJobs: () => number;
  readonly signal: AbortSignal;
  readonly onPublished: (jobs: number) => void;
}

/** A record with the line that the publisher's list gets once the broker has acknowledged it. */
interface PlannedRecord {
  readonly message: Message;
  readonly line: string;
}

const RECORDS_PER_SEND = 250;
const PACE_STEP_MS = 50;

/**
 * Publishes the jobs in order with acks=all, a malformed record after each hundred, and writes down what the broker has
 * acknowledged. The reader believes this list and nothing else.
 * @throws Error when the broker refuses a record after the client's retries, or when `signal` aborts.
 */
export async function publishJobs(options: PublishOptions): Promise<void> {
  await writeFile(options.listFile, "");
  const kafka = new Kafka({
    clientId: "sluice-demo-publisher",
    brokers: [...options.brokers],
    logLevel: logLevel.ERROR,
  });
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
  });
  await producer.connect();
  try {
    let next = 0;
    while (next < options.jobs.length) {
      options.signal.throwIfAborted();
      const until = Math.min(options.jobs.length, next + RECORDS_PER_SEND, Math.floor(options.allowedJobs()));
      if (until <= next) {
        await sleep(PACE_STEP_MS, undefined, { signal: options.signal });
        continue;
      }
      // One send after the other: the list is appended in the order of acknowledgement.
      const records = await plannedRecords(options.jobs.slice(next, until), options.encode);
      await producer.send({
        topic: options.topic,
        acks: -1,
        compression: CompressionTypes.None,
        messages: records.map(({ message }) => message),
      });
      await appendFile(options.listFile, records.map(({ line }) => `${line}\n`).join(""));
      next = until;
      options.onPublished(next);
    }
  } finally {
    await producer.disconnect();
  }
}

async function plannedRecords(jobs: readonly FilmJob[], encode: JobEncoder): Promise<readonly PlannedRecord[]> {
  const records: PlannedRecord[] = [];
  for (const job of jobs) {
    records.push(plannedJob(job, await encode(job)));
    const jobsSoFar = job.number + 1;
    if (jobsSoFar % JOBS_PER_MALFORMED_RECORD === 0)
      records.push(plannedMalformed(jobsSoFar / JOBS_PER_MALFORMED_RECORD - 1));
  }
  return records;
}

function plannedJob(job: FilmJob, value: Buffer): PlannedRecord {
  return {
    message: { key: job.key, value, headers: { kafka_correlationId: job.correlation } },
    line: publishedJobLine({
      jobId: job.jobId,
      tenant: job.tenant,
      format: job.format,
      model: job.body.model,
      direct: job.terms?.mode === "direct",
      promptDigest: promptDigest(job.messageTexts),
      key: base64OrNull(job.key),
      correlation: job.correlation.toString("base64"),
    }),
  };
}

function plannedMalformed(number: number): PlannedRecord {
  const value = malformedRecord(number);
  return { message: { key: `broken-${String(number)}`, value }, line: malformedLine(value) };
}
