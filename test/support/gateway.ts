import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { createOwnDatabase } from "../../src/demo/own-database.js";
import { gatewayConfig, groupOf, type ConfigChanges } from "./gateway-config.js";
import type { FoundRecord, RecordToSend } from "./gateway-records.js";
import { resultIn } from "./gateway-records.js";
import { CLI, GatewayRouter } from "./gateway-router.js";
import { GatewaySimulator } from "./gateway-simulator.js";
import { GatewayTopics } from "./gateway-topics.js";
import { freshTopicNames, migratedDatabase, servers } from "./servers.js";

export interface GatewayOptions {
  /** Says in logs and topic names which test it is. */
  readonly name: string;
  readonly latencyMs?: number;
  /** Further flags of the simulator, such as its batches' times. */
  readonly simulatorArgs?: readonly string[];
  readonly partitions?: number;
  readonly messageBytesMax?: number;
  /** "missing": not created before `topics.createDeadLetters`. */
  readonly deadLetterTopic?: "missing";
  /** Topics that acme's results may go to, by the last word of their names; "missing" is not created. */
  readonly replyTopics?: Readonly<Record<string, { readonly messageBytesMax?: number } | "missing">>;
  readonly config?: ConfigChanges;
  /** What else the config refers to. */
  readonly env?: Readonly<Record<string, string>>;
  /** Address of the schema registry for the routers; the shared one when left out. */
  readonly registryUrl?: string;
  /** A cluster of the test's own; the shared one when left out. Routers may reach it by another way. */
  readonly kafka?: { readonly brokers: string; readonly routersBrokers: string };
  /** A Postgres server of the test's own; the shared one when left out. */
  readonly postgresUrl?: string;
  /** Changes the address under which the routers reach Postgres: for a proxy in between. */
  readonly routersDatabaseUrl?: (databaseUrl: string) => Promise<string>;
  /** The main script of the routers, of another build than that in `dist`. */
  readonly cli?: string;
}

export interface CliRun {
  readonly exitCode: number;
  readonly data: readonly string[];
  readonly notes: readonly string[];
  /** What ended it, when it did not end by itself. */
  readonly signal: NodeJS.Signals | null;
  readonly pid: number;
}

const POLL_MS = 25;
const WAIT_MS = 60_000;
const SAID_LINES = 40;

/**
 * The whole gateway on real servers: a fresh database, fresh topics, a simulator process and routers from `dist`, and what a test needs to look
 * at all of it from outside. `close` ends every process it started.
 */
export class Gateway {
  readonly topics: GatewayTopics;
  readonly simulator: GatewaySimulator;
  readonly #database: pg.Pool;
  readonly #folder: string;
  readonly #configFile: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #dropDatabase: () => Promise<void>;
  readonly #cli: string;
  readonly #routers: GatewayRouter[] = [];

  /** Everything but a router: `startRouter` starts those. */
  static async open(options: GatewayOptions): Promise<Gateway> {
    const addresses = servers();
    const { postgresUrl } = options;
    const database =
      postgresUrl === undefined
        ? await migratedDatabase()
        : await createOwnDatabase(postgresUrl, `test_${randomBytes(6).toString("hex")}`);
    const folder = await mkdtemp(join(tmpdir(), `sluice-${options.name}-`));
    const names = freshTopicNames(options.name);
    const replyTopics = Object.entries(options.replyTopics ?? {});
    const [simulator, topics] = await Promise.all([
      GatewaySimulator.start(folder, options.latencyMs ?? 0, options.simulatorArgs ?? []),
      GatewayTopics.open({
        brokers: options.kafka?.brokers ?? addresses.kafkaBrokers,
        names,
        partitions: options.partitions ?? 1,
        withDeadLetters: options.deadLetterTopic !== "missing",
        replyTopics: replyTopics.flatMap(([word, topic]) =>
          topic === "missing"
            ? []
            : [{ name: `${names.results}.${word}`, messageBytesMax: topic.messageBytesMax ?? null }],
        ),
        ...(options.messageBytesMax === undefined ? {} : { messageBytesMax: options.messageBytesMax }),
      }),
    ]);
    const configFile = join(folder, "sluice.json");
    const allowed = replyTopics.map(([word]) => `${names.results}.${word}`);
    await writeFile(configFile, JSON.stringify(gatewayConfig(names, simulator.url, options.config ?? {}, allowed)));
    const env = {
      KAFKA_BROKERS: options.kafka?.routersBrokers ?? addresses.kafkaBrokers,
      DATABASE_URL: database.url,
      SCHEMA_REGISTRY_URL: options.registryUrl ?? addresses.registryUrl,
      OPENAI_API_KEY: "test-key",
      ...options.env,
    };
    if (postgresUrl !== undefined) {
      const logFile = join(folder, "migrate.log");
      await GatewayRouter.command({ name: "migrate", configFile, env, logFile }, ["migrate"]);
    }
    const pool = new pg.Pool({ connectionString: database.url, max: 1 });
    pool.on("error", () => undefined); // tests kill the server
    const routersUrl = (await options.routersDatabaseUrl?.(database.url)) ?? database.url;
    return new Gateway({
      topics,
      simulator,
      pool,
      folder,
      configFile,
      env: { ...env, DATABASE_URL: routersUrl },
      drop: database.drop,
      cli: options.cli ?? CLI,
    });
  }

  private constructor(parts: {
    readonly topics: GatewayTopics;
    readonly simulator: GatewaySimulator;
    readonly pool: pg.Pool;
    readonly folder: string;
    readonly configFile: string;
    readonly env: Readonly<Record<string, string>>;
    readonly drop: () => Promise<void>;
    readonly cli: string;
  }) {
    this.topics = parts.topics;
    this.simulator = parts.simulator;
    this.#database = parts.pool;
    this.#folder = parts.folder;
    this.#configFile = parts.configFile;
    this.#env = parts.env;
    this.#dropDatabase = parts.drop;
    this.#cli = parts.cli;
  }

  async startRouter(
    name = `router-${String(this.#routers.length + 1)}`,
    env: Readonly<Record<string, string>> = {},
  ): Promise<GatewayRouter> {
    const router = await GatewayRouter.start({
      name,
      configFile: this.#configFile,
      env: { ...this.#env, ...env },
      logFile: join(this.#folder, `${name}.log`),
      cli: this.#cli,
    });
    this.#routers.push(router);
    return router;
  }

  /** A router that is not waited for, and whose end is no surprise. */
  launchRouter(name: string, env: Readonly<Record<string, string>>): GatewayRouter {
    const router = GatewayRouter.launch({
      name,
      configFile: this.#configFile,
      env: { ...this.#env, ...env },
      logFile: join(this.#folder, `${name}.log`),
    });
    router.expectEnd();
    this.#routers.push(router);
    return router;
  }

  /** Those that were started, in that order. */
  get routers(): readonly GatewayRouter[] {
    return this.#routers;
  }

  /** The full name of one of `replyTopics`. */
  replyTopic(word: string): string {
    return `${this.topics.names.results}.${word}`;
  }

  /** Runs a command to its end. @returns what it printed as JSON. @throws Error when it exits with another code than 0. */
  async cliJson(...args: readonly string[]): Promise<unknown> {
    const { exitCode, data, notes } = await this.cli(...args, "--json");
    if (exitCode !== 0) throw new Error(`exit ${String(exitCode)}: ${notes.join("; ")}`);
    return JSON.parse(data.join("\n"));
  }

  /** A command line from `dist` on this gateway's config. */
  cli(...args: readonly string[]): Promise<CliRun> {
    return this.cliWith({}, ...args);
  }

  /** The same with more in its environment. */
  cliWith(more: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<CliRun> {
    const env = { ...process.env, ...this.#env, SLUICE_CONFIG: this.#configFile, ...more };
    const lines = (text: string): readonly string[] => text.split("\n").slice(0, -1);
    return new Promise((resolve) => {
      const child = execFile(process.execPath, [CLI, ...args], { env, timeout: WAIT_MS }, (_error, stdout, stderr) => {
        const { exitCode, signalCode, pid = -1 } = child;
        resolve({ exitCode: exitCode ?? -1, data: lines(stdout), notes: lines(stderr), signal: signalCode, pid });
      });
    });
  }

  /** Publishes one record. @returns its offset. */
  async publish(record: RecordToSend): Promise<number> {
    const [offset] = await this.topics.publish([record]);
    return offset ?? Number.NaN;
  }

  async query<Row>(sql: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return (await this.#database.query(sql, [...values])).rows as Row[]; // the test knows its own columns
  }

  /** A connection of the test's own, for a lock that is held across statements. The caller ends it. */
  async connection(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#env["DATABASE_URL"] });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }

  /** Results of one job, in the order of their publishing. */
  resultsOf(jobId: string, tenant = "acme"): readonly FoundRecord[] {
    return this.topics.results.filter((record) => {
      const result = resultIn(record);
      return result.jobId === jobId && result.tenant === tenant;
    });
  }

  /** The first result of a job, once it is there. */
  async result(jobId: string, tenant = "acme"): Promise<FoundRecord> {
    return this.until(`a result of ${JSON.stringify(jobId)}`, () => this.resultsOf(jobId, tenant)[0] ?? null);
  }

  /** The dead letter of the record at this offset of partition 0, once it is there. */
  async deadLetterOf(offset: number): Promise<FoundRecord> {
    return this.until(
      `the dead letter of offset ${String(offset)}`,
      () =>
        this.topics.deadLetters.find(
          (record) => record.headers.get("__dlq.errors.offset")?.[0]?.toString() === String(offset),
        ) ?? null,
    );
  }

  committedOffsets(): Promise<readonly number[]> {
    return this.topics.committed(groupOf(this.topics.names));
  }

  /** Waits for an event that can only be seen by looking. @throws Error naming what did not come, with the routers' last lines. */
  async until<Value>(
    what: string,
    look: () => Value | null | false | Promise<Value | null | false>,
    timeoutMs = WAIT_MS,
  ): Promise<Value> {
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      const found = await look();
      if (found !== null && found !== false) return found;
      await this.#noneEndedByItself(what);
      if (Date.now() > endMs)
        throw new Error(
          `expected ${what} within ${String(timeoutMs)} ms; the routers said last:\n${this.#lastLines()}`,
        );
      await sleep(POLL_MS);
    }
  }

  /** A router that died would otherwise look like one that is slow. A test that wants one to end by itself waits with `event`. */
  async #noneEndedByItself(what: string): Promise<void> {
    for (const router of this.#routers) {
      const end = await router.endedByItself();
      if (end !== null) throw new Error(`expected ${what}, but a router ${end}\n${this.#lastLines()}`);
    }
  }

  #lastLines(): string {
    return this.#routers
      .map((router) =>
        router
          .log()
          .slice(-SAID_LINES)
          .map((line) => JSON.stringify(line))
          .join("\n"),
      )
      .join("\n--\n");
  }

  /** Runs an operator's command on this gateway's config. @returns its stdout. @throws Error with its log unless it exits with 0. */
  command(...args: readonly string[]): Promise<string> {
    const [name = "command"] = args;
    const logFile = join(this.#folder, `${name}.log`);
    return GatewayRouter.command({ name, configFile: this.#configFile, env: this.#env, logFile }, args);
  }

  /** Records of the jobs topic that the ledger has taken. */
  async position(): Promise<number> {
    const rows = await this.query<{ next: string }>("SELECT coalesce(sum(next), 0) AS next FROM inbox_position");
    return Number(rows[0]?.next);
  }

  async close(): Promise<void> {
    await Promise.all(this.#routers.map((router) => router.stop()));
    await Promise.all([this.simulator.stop(), this.topics.close(), this.#database.end().catch(() => undefined)]);
    await this.#dropDatabase();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
