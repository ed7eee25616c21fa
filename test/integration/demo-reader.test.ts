import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import kafkajs from "kafkajs";
import type { Admin, Kafka as KafkaClient, Producer } from "kafkajs";
import { createTopics } from "../../src/adapters/kafka/topics.js";
import { systemClock } from "../../src/adapters/system/system-clock.js";
import { filmJob } from "../../src/demo/film-jobs.js";
import type { FilmJob } from "../../src/demo/film-jobs.js";
import { readFilms } from "../../src/demo/films.js";
import { jsonJobEncoder } from "../../src/demo/job-encoder.js";
import { publishJobs } from "../../src/demo/publisher.js";
import { parsePublishedList } from "../../src/demo/reader/published-list.js";
import { readTopics } from "../../src/demo/reader/read-topics.js";
import { freshTopicNames, servers } from "../support/servers.js";
import type { FreshTopicNames } from "../support/servers.js";

const { Kafka, Partitioners, logLevel } = kafkajs;
const READER = fileURLToPath(new URL("../../dist/demo/reader/reader-main.js", import.meta.url));
const PRICING = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const JOBS = 100;
const MODEL = "gpt-4.1-mini";
/** 23 and 18 tokens of gpt-4.1-mini, at 0.4 and 1.6 dollars a million. */
const LIST_NANO_USD = "38000";

let kafka: KafkaClient;
let admin: Admin;
let producer: Producer;
let folder: string;

beforeAll(async () => {
  kafka = new Kafka({
    clientId: "demo-reader-test",
    brokers: servers().kafkaBrokers.split(","),
    logLevel: logLevel.NOTHING,
  });
  admin = kafka.admin();
  producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await Promise.all([admin.connect(), producer.connect()]);
  folder = await mkdtemp(join(tmpdir(), "demo-reader-test-"));
});

afterAll(async () => {
  await Promise.all([admin.disconnect(), producer.disconnect()]);
  await rm(folder, { recursive: true, force: true });
});

const films = readFilms();
const jobs = Array.from({ length: JOBS }, (_unused, number) =>
  filmJob(number, films, { anthropic: false, avro: false }),
);

/** Publishes the jobs with the demo's own publisher, and by hand what a gateway would have answered. */
async function runOf(
  name: string,
  spoil: (answers: Answer[]) => void,
): Promise<{ readonly topics: FreshTopicNames; readonly list: string; readonly bill: string }> {
  const topics = freshTopicNames(name);
  const names = [topics.jobs, topics.results, topics.costs, topics.deadLetters];
  await createTopics(
    admin,
    names.map((topic) => ({ topic, numPartitions: 3 })),
    systemClock,
  );
  const list = join(folder, `${name}.list`);
  await publishJobs({
    brokers: servers().kafkaBrokers.split(","),
    topic: topics.jobs,
    jobs,
    encode: jsonJobEncoder(),
    listFile: list,
    allowedJobs: () => JOBS,
    signal: AbortSignal.timeout(30_000),
    onPublished: () => undefined,
  });
  const answers = jobs.map(answerTo);
  const bill = join(folder, `${name}.bill`);
  await writeFile(bill, answers.map(({ job }) => `${JSON.stringify(billRow(job))}\n`).join(""));
  spoil(answers);
  const source = await readTopics({
    brokers: servers().kafkaBrokers.split(","),
    topics: [topics.jobs],
    timeoutMs: 30_000,
  });
  const malformed = source.filter((record) => record.headers.size === 0);
  await producer.sendBatch({
    topicMessages: [
      { topic: topics.results, messages: answers.map(resultMessage) },
      { topic: topics.costs, messages: answers.map(costMessage) },
      {
        topic: topics.deadLetters,
        messages: malformed.map((record) => ({
          key: record.key,
          value: record.value,
          headers: {
            "__dlq.errors.topic": record.topic,
            "__dlq.errors.partition": String(record.partition),
            "__dlq.errors.offset": record.offset,
          },
        })),
      },
    ],
  });
  return { topics, list, bill };
}

interface Answer {
  readonly job: FilmJob;
  readonly text: string;
  readonly nanoUsd: string;
  readonly listNanoUsd: string;
  readonly model: string;
  readonly cacheWriteTokens: number;
}

function answerTo(job: FilmJob): Answer {
  const digest = createHash("sha256").update(job.messageTexts.join("\n")).digest("hex").slice(0, 32);
  const text = `digest=${digest} a quiet story`;
  return { job, text, nanoUsd: "38000", listNanoUsd: LIST_NANO_USD, model: MODEL, cacheWriteTokens: 0 };
}

function resultMessage({ job, text, nanoUsd, listNanoUsd }: Answer) {
  const value = {
    ...{
      v: 1,
      resultId: `result ${job.jobId}`,
      jobId: job.jobId,
      tenant: job.tenant,
      generation: 0,
      status: "succeeded",
      format: "openai.chat",
    },
    ...{
      served: "call",
      body: { choices: [{ message: { content: text } }] },
      cost: { nanoUsd, costId: `cost ${job.jobId}`, listNanoUsd },
    },
  };
  return {
    key: job.key,
    value: JSON.stringify(value),
    headers: { ce_id: value.resultId, kafka_correlationId: job.correlation },
  };
}

function costMessage({ job, nanoUsd, listNanoUsd, model, cacheWriteTokens }: Answer) {
  const value = {
    ...{
      costId: `cost ${job.jobId}`,
      kind: "charge",
      billing: "charged",
      tenant: job.tenant,
      jobId: job.jobId,
      generation: 0,
    },
    ...{
      attemptId: `attempt ${job.jobId}`,
      model,
      cacheWriteTokens,
      inputTokens: 23,
      cachedInputTokens: 0,
      outputTokens: 18,
    },
    ...{ nanoUsd, maxNanoUsd: "828400", listNanoUsd },
  };
  return { key: job.tenant, value: JSON.stringify(value) };
}

function billRow(job: FilmJob) {
  return {
    requestId: "req",
    attempt: `attempt ${job.jobId}`,
    model: MODEL,
    cacheWriteTokens: 0,
    inputTokens: 23,
    cachedInputTokens: 0,
    outputTokens: 18,
    nanoUsd: "38000",
  };
}

interface ReaderEnd {
  readonly code: number | null;
  readonly report: {
    readonly findings: readonly { readonly kind: string; readonly jobId: string | null }[];
  } & Readonly<Record<string, unknown>>;
}

async function reader(run: Awaited<ReturnType<typeof runOf>>): Promise<ReaderEnd> {
  const { topics, list, bill } = run;
  const args = [
    "--brokers",
    servers().kafkaBrokers,
    "--list",
    list,
    "--bill",
    bill,
    "--pricing",
    PRICING,
    "--first-model",
    `cheap=openai/${MODEL}`,
    "--results",
    topics.results,
    "--costs",
    topics.costs,
  ];
  const child = spawn(process.execPath, [READER, ...args, "--dead-letters", topics.deadLetters], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  // Parsing edge: the reader's own report.
  return { code, report: JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "null") as ReaderEnd["report"] };
}

describe("the demo's reader, a process on real topics", () => {
  test("finds nothing and ends with 0 when everything holds", async () => {
    const run = await runOf("whole", () => undefined);
    const { code, report } = await reader(run);
    expect(report).toMatchObject({
      ...{
        findings: [],
        findingCount: 0,
        jobs: 100,
        results: 100,
        lost: 0,
        duplicates: 0,
        deadLetters: 1,
        malformed: 1,
        billRows: 100,
      },
      ...{ costNanoUsd: "3800000", billNanoUsd: "3800000" },
    });
    expect(code).toBe(0);
  });

  test("names one result missing, one repeated with other bytes, one swapped, one wrong cost, list price, model and count of tokens, and ends with 1", async () => {
    const run = await runOf("spoiled", (answers) => {
      const at = (number: number): Answer => {
        const answer = answers[number];
        if (answer === undefined) throw new Error(`no job ${String(number)}`);
        return answer;
      };
      answers[20] = { ...at(20), text: at(25).text };
      answers[30] = { ...at(30), nanoUsd: "38001" };
      answers[50] = { ...at(50), listNanoUsd: "38001" };
      answers[60] = { ...at(60), model: "gpt-4.1-nano" };
      answers[70] = { ...at(70), cacheWriteTokens: 4 };
    });
    const results = await readTopics({
      brokers: servers().kafkaBrokers.split(","),
      topics: [run.topics.results],
      timeoutMs: 30_000,
    });
    const repeated = results.find((record) => record.value?.toString().includes('"film-40"'));
    if (repeated === undefined) throw new Error("film-40 has no result");
    const otherBytes = repeated.value?.toString().replace("quiet", "loud") ?? "";
    await producer.send({
      topic: run.topics.results,
      messages: [{ key: repeated.key, value: otherBytes, headers: Object.fromEntries(repeated.headers) }],
    });
    // The missing one: published and on the bill, but no record of the topics is about it.
    const extra = {
      job: {
        jobId: "film-never",
        tenant: "shop",
        format: "openai.chat",
        model: "cheap",
        promptDigest: "0".repeat(32),
        key: null,
        correlation: "AAAA",
      },
    };
    await writeFile(run.list, `${await readFile(run.list, "utf8")}${JSON.stringify(extra)}\n`);
    const { code, report } = await reader(run);
    expect(report.findings.map(({ kind, jobId }) => `${kind} ${jobId ?? "-"}`).sort()).toEqual([
      "duplicate_result film-40",
      "lost_result film-never",
      "sums_differ -",
      "swapped_answer film-20",
      "wrong_cost film-30",
      "wrong_list_price film-50",
      "wrong_model film-60",
      "wrong_tokens film-70",
    ]);
    expect(report).toMatchObject({ jobs: 101, results: 100, lost: 1, duplicates: 1 });
    expect(code).toBe(1);
  });
});

describe("the demo's publisher", () => {
  test("publishes each job once with its key and correlation bytes, and lists exactly what the broker holds", async () => {
    const run = await runOf("published", () => undefined);
    const records = await readTopics({
      brokers: servers().kafkaBrokers.split(","),
      topics: [run.topics.jobs],
      timeoutMs: 30_000,
    });
    const list = parsePublishedList(await readFile(run.list, "utf8"));
    expect(records).toHaveLength(101);
    expect(list.jobs.map(({ jobId }) => jobId)).toEqual(jobs.map(({ jobId }) => jobId));
    const published = records
      .filter((record) => record.headers.size > 0)
      .map(({ key, headers }) => [
        key?.toString("base64") ?? null,
        headers.get("kafka_correlationId")?.toString("base64"),
      ]);
    expect(new Set(published.map((pair) => JSON.stringify(pair)))).toEqual(
      new Set(list.jobs.map(({ key, correlation }) => JSON.stringify([key, correlation]))),
    );
    const malformed = records
      .filter((record) => record.headers.size === 0)
      .map(({ value }) =>
        createHash("sha256")
          .update(value ?? "")
          .digest("hex"),
      );
    expect(list.malformedDigests).toEqual(malformed);
  });

  test("publishes no more than it is allowed, and stops when told", async () => {
    const topics = freshTopicNames("paced");
    await createTopics(admin, [{ topic: topics.jobs, numPartitions: 1 }], systemClock);
    const stopping = new AbortController();
    const published: number[] = [];
    let asked = 0;
    const publishing = publishJobs({
      brokers: servers().kafkaBrokers.split(","),
      topic: topics.jobs,
      jobs,
      encode: jsonJobEncoder(),
      listFile: join(folder, "paced.list"),
      allowedJobs: () => {
        asked += 1;
        if (asked === 5) stopping.abort(new Error("told to stop"));
        return asked < 3 ? 10 : 25;
      },
      signal: stopping.signal,
      onPublished: (count) => published.push(count),
    });
    await expect(publishing).rejects.toThrow();
    expect(published).toEqual([10, 25]);
    const [partition] = await admin.fetchTopicOffsets(topics.jobs);
    expect(partition?.high).toBe("25");
  });
});
