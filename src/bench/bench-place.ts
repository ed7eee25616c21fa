import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import kafkajs, { type Admin, type Kafka, type Producer } from "kafkajs";
import { stringify } from "yaml";
import { letIdleConnectionsRest } from "../adapters/kafka/idle-connections.js";
import { createTopics } from "../adapters/kafka/topics.js";
import { systemClock } from "../adapters/system/system-clock.js";
import { startStack, type Stack } from "../stack/stack.js";
import { runProcess, startProcess, stopProcess, type OwnProcess } from "../demo/child-process.js";
import { createOwnDatabase } from "../demo/own-database.js";
import { durabilityOf, type Durability } from "./durability.js";
import { cpuSecondsOfTree } from "./process-usage.js";

const { Kafka: KafkaClient, logLevel } = kafkajs;
const PARTITIONS = 12;
const RECORDS_PER_SEND = 1000;
/** The bare loop answers a whole fetched batch with one `send`, which a partition's default of 1 MiB refuses once jobs pile up. */
const LARGE_BATCHES = [{ name: "max.message.bytes", value: "16777216" }];
/** The reader shares the processors with what is measured; asking every 20 ms took a sixth of what the router did. */
const READER_LOOKS_EVERY_MS = 100;
const PRICES = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

export interface Topics {
  readonly jobs: string;
  readonly results: string;
  readonly costs: string;
  readonly events: string;
}

export interface RouterSetup {
  readonly topics: Topics;
  readonly mockPort: number;
  /** Of the mock; OpenAI's when left out. */
  readonly kind?: "openai" | "anthropic";
  readonly concurrency: number;
  readonly callTimeoutMs: number;
  readonly pendingJobsMax: number;
  /** Left out: every job gets a call of its own. */
  readonly batches?: {
    readonly account: Readonly<Record<string, unknown>>;
    readonly batching: Readonly<Record<string, unknown>>;
  };
  /** Rate limits of the account, beside its concurrency; none when left out. */
  readonly limits?: Readonly<Record<string, unknown>>;
  /** Of the account, by the alias that jobs name; `cheap` when left out. */
  readonly models?: Readonly<Record<string, string>>;
  /** Where the account's API is; at the mock's port when left out. */
  readonly baseUrl?: string;
  readonly redisUrl?: string;
  /** The config's section `budgets`; none when left out. */
  readonly budgets?: readonly Readonly<Record<string, unknown>>[];
}

/** A job's request by its number; no two are alike. */
export type PublishedBody = (number: number) => Readonly<Record<string, unknown>>;
export type PublishedFormat = "openai.chat" | "anthropic.messages";

export type CpuSeconds = Readonly<Record<"measured" | "provider" | "postgres" | "kafka" | "bench", number>>;

/** CPU seconds that a thousand of `count` took between two looks. */
export function cpuPer1k(before: CpuSeconds, after: CpuSeconds, count: number): CpuSeconds {
  const of = (one: keyof CpuSeconds): number => Number((((after[one] - before[one]) * 1000) / count).toFixed(3));
  return {
    measured: of("measured"),
    provider: of("provider"),
    postgres: of("postgres"),
    kafka: of("kafka"),
    bench: of("bench"),
  };
}

/** Real servers, topics and processes of one benchmark run; `close` ends all of it. */
export class BenchPlace {
  readonly stack: Stack;
  readonly kafka: Kafka;
  readonly admin: Admin;
  readonly databaseUrl: string;
  /** Checked: all on. */
  readonly durability: Durability;
  readonly folder: string;
  readonly #producer: Producer;
  readonly #children: OwnProcess[] = [];
  readonly #dropDatabase: () => Promise<void>;
  readonly #run = Date.now().toString(36);
  #count = 0;

  /**
   * @param withRedis also the server that routers share rate limits in.
   * @throws Error on a PostgreSQL that may lose what it has committed.
   */
  static async open(note: (line: string) => void, withRedis = false): Promise<BenchPlace> {
    const servers = withRedis ? (["kafka", "postgres", "redis"] as const) : (["kafka", "postgres"] as const);
    const stack = await startStack({ servers, onProgress: note });
    const database = await createOwnDatabase(stack.addresses.databaseUrl, `bench_${Date.now().toString(36)}`);
    const durability = await durabilityOf(database.url).catch(async (error: unknown) => {
      await database.drop().catch(() => undefined);
      await stack.stop();
      throw error;
    });
    const folder = await mkdtemp(join(tmpdir(), "sluice-bench-"));
    letIdleConnectionsRest(); // this process shares the processors with what is measured
    const kafka = new KafkaClient({
      brokers: stack.addresses.kafkaBrokers.split(","),
      clientId: "bench",
      logLevel: logLevel.NOTHING,
    });
    const place = new BenchPlace({ stack, kafka, databaseUrl: database.url, durability, folder }, database.drop);
    await place.admin.connect();
    await place.#producer.connect();
    return place;
  }

  private constructor(
    {
      stack,
      kafka,
      databaseUrl,
      durability,
      folder,
    }: Pick<BenchPlace, "stack" | "kafka" | "databaseUrl" | "durability" | "folder">,
    dropDatabase: () => Promise<void>,
  ) {
    this.stack = stack;
    this.kafka = kafka;
    this.databaseUrl = databaseUrl;
    this.durability = durability;
    this.folder = folder;
    this.admin = kafka.admin();
    this.#producer = kafka.producer({ allowAutoTopicCreation: false });
    this.#dropDatabase = dropDatabase;
  }

  /** So far, by process, of one that is measured and the provider that it calls; NaN for a server that is not ours. */
  cpuSeconds(measuredPid: number, providerPid: number): CpuSeconds {
    const of = (pid: number | null): number => (pid === null ? Number.NaN : cpuSecondsOfTree(pid));
    const own = process.cpuUsage(); // all others run below this one
    return {
      measured: of(measuredPid),
      provider: of(providerPid),
      postgres: of(this.#serverPid("postgres")),
      kafka: of(this.#serverPid("kafka")),
      bench: (own.user + own.system) / 1e6,
    };
  }

  get redisPid(): number | null {
    return this.#serverPid("redis");
  }

  #serverPid(name: string): number | null {
    return this.stack.servers.find((server) => server.name.includes(name))?.pid ?? null;
  }

  async freshTopics(): Promise<Topics> {
    this.#count += 1;
    const jobs = `bench.${this.#run}.${String(this.#count)}.jobs`;
    const topics = { jobs, results: `${jobs}.results`, costs: `${jobs}.costs`, events: `${jobs}.events` };
    const names = [topics.jobs, topics.results, topics.costs, topics.events, `${jobs}.dlq`];
    await createTopics(
      this.admin,
      names.map((topic) => ({ topic, numPartitions: PARTITIONS, replicationFactor: 1, configEntries: LARGE_BATCHES })),
      systemClock,
    );
    return topics;
  }

  async startMock(latencyMs: number): Promise<{ readonly port: number; readonly process: OwnProcess }> {
    const child = this.#start("mock", [here("mock-provider-main.js"), "--latency-ms", String(latencyMs)], {});
    const line = await firstLine(child);
    return { port: (JSON.parse(line) as { port: number }).port, process: child }; // the edge: our own line
  }

  /** The simulated providers, with further flags of their program. */
  async startSimulator(flags: readonly string[]): Promise<{ readonly url: string; readonly process: OwnProcess }> {
    const bill = join(this.folder, "bill.jsonl");
    const args = [
      here("../simulator/simulator-main.js"),
      "--port",
      "0",
      "--bill",
      bill,
      "--pricing",
      PRICES,
      ...flags,
      "--hold-stdin",
    ];
    const child = this.#start("simulator", args, {});
    const line = await lineWith(child, '"listening"');
    return { url: (JSON.parse(line) as { listening: string }).listening.replace(/\/$/, ""), process: child }; // the edge: our own line
  }

  /** Jobs that all differ. @param from number of the first, so that no two batches hold the same job. @param bodyOf about 0.3 KB when left out. */
  async publish(
    topic: string,
    from: number,
    count: number,
    bodyOf: PublishedBody = filmBody,
    format: PublishedFormat = "openai.chat",
  ): Promise<void> {
    for (let start = from; start < from + count; start += RECORDS_PER_SEND) {
      const messages = Array.from({ length: Math.min(RECORDS_PER_SEND, from + count - start) }, (_unused, index) => {
        const number = start + index;
        const job = { jobId: `${topic}-${String(number)}`, tenant: "bench", format, body: bodyOf(number) };
        return { key: `film-${String(number)}`, value: JSON.stringify(job) };
      });
      // Serial: batches of one producer, in order.
      await this.#producer.send({ topic, acks: -1, messages });
    }
  }

  /** Writes a file into the folder of the run. @returns its path. */
  async file(name: string, text: string): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, text);
    return path;
  }

  async startBareLoop(topics: Topics, mockPort: number, inFlight: number): Promise<OwnProcess> {
    const child = this.#start(
      "bare",
      [
        here("bare-loop-main.js"),
        this.stack.addresses.kafkaBrokers,
        topics.jobs,
        topics.results,
        `http://127.0.0.1:${String(mockPort)}`,
        String(inFlight),
      ],
      {},
    );
    await firstLine(child);
    return child;
  }

  startRouter(setup: RouterSetup): Promise<OwnProcess> {
    return this.startRouterOn(routerConfig(setup));
  }

  /** @param config as its file has it; addresses and the key by reference. */
  async startRouterOn(config: unknown): Promise<OwnProcess> {
    const file = join(this.folder, `router-${String(this.#count)}.yaml`);
    await writeFile(file, stringify(config));
    const env = {
      KAFKA_BROKERS: this.stack.addresses.kafkaBrokers,
      DATABASE_URL: this.databaseUrl,
      OPENAI_API_KEY: "bench",
    };
    const cli = here("../cli/main.js");
    await runProcess(
      {
        name: "migrate",
        args: [cli, "migrate", "--config", file],
        env,
        logFile: join(this.folder, "migrate.log"),
        readStdout: false,
      },
      60_000,
    );
    const child = this.#start("router", [cli, "router", "--config", file], env);
    await lineWith(child, '"router.ready"');
    return child;
  }

  /** Resolves when the topic holds `count` records. @returns milliseconds since the epoch when it was seen. */
  async waitForRecords(topic: string, count: number, timeoutMs: number): Promise<number> {
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      const found = await this.recordsIn(topic);
      if (found >= count) return Date.now();
      if (Date.now() > endMs)
        throw new Error(
          `expected ${String(count)} records in ${topic} within ${String(timeoutMs)} ms, found ${String(found)}`,
        );
      await new Promise((resolve) => setTimeout(resolve, READER_LOOKS_EVERY_MS));
    }
  }

  async recordsIn(topic: string): Promise<number> {
    const offsets = await this.admin.fetchTopicOffsets(topic);
    return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  }

  async stop(child: OwnProcess): Promise<void> {
    await stopProcess(child, 15_000);
  }

  #start(name: string, args: readonly string[], env: Readonly<Record<string, string>>): OwnProcess {
    const child = startProcess({ name, args, env, logFile: join(this.folder, `${name}.log`), readStdout: true });
    this.#children.push(child);
    return child;
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map((child) => stopProcess(child, 10_000)));
    await this.#producer.disconnect();
    await this.admin.disconnect();
    await this.#dropDatabase().catch(() => undefined);
    await this.stack.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const filmBody: PublishedBody = (number) => ({
  model: "cheap",
  messages: [
    { role: "system", content: "You write short entries for a film catalogue. Answer in one sentence." },
    { role: "user", content: `What is the style of the director of film number ${String(number)} in the list?` },
  ],
  temperature: 0,
});

function routerConfig(setup: RouterSetup): unknown {
  const { topics } = setup;
  return {
    environment: "bench",
    kafka: { brokers: ["${KAFKA_BROKERS}"], groupId: `bench-${topics.jobs}` },
    topics: { jobs: [topics.jobs], results: topics.results, costs: topics.costs, events: topics.events },
    postgres: { url: "${DATABASE_URL}" },
    ...(setup.redisUrl === undefined ? {} : { redis: { url: setup.redisUrl } }),
    auth: { tenantFrom: "body" },
    tenants: { bench: { tier: "standard" } },
    providers: {
      mock: {
        kind: setup.kind ?? "openai",
        baseUrl:
          setup.baseUrl ?? `http://127.0.0.1:${String(setup.mockPort)}${setup.kind === "anthropic" ? "" : "/v1"}`,
        apiKey: "${OPENAI_API_KEY}",
        callTimeoutMs: setup.callTimeoutMs,
        idleTimeoutMs: setup.callTimeoutMs,
        limits: { concurrency: setup.concurrency, ...setup.limits },
        ...(setup.batches === undefined ? {} : { batch: setup.batches.account }),
      },
    },
    models: Object.fromEntries(
      Object.entries(setup.models ?? { cheap: "gpt-4.1-mini" }).map(([alias, model]) => [
        alias,
        { maxOutputTokensDefault: 512, candidates: [{ provider: "mock", model }] },
      ]),
    ),
    limits: { pending: { jobsMax: setup.pendingJobsMax } },
    ...(setup.batches === undefined ? {} : { batching: setup.batches.batching }),
    ...(setup.budgets === undefined ? {} : { budgets: setup.budgets }),
    http: { port: 0 },
  };
}

function firstLine(child: OwnProcess): Promise<string> {
  return lineWith(child, "{");
}

/** @throws Error when the process ends before it says so. */
async function lineWith(child: OwnProcess, text: string): Promise<string> {
  const found = new Promise<string>((resolve) => {
    child.onStdoutLine((line) => {
      if (line.includes(text)) resolve(line);
    });
  });
  const ended = child.ended.then((): never => {
    throw new Error(`${child.name} ended before it was ready; see ${child.logFile}`);
  });
  return Promise.race([found, ended]);
}
