/** A ledger of one test's own with jobs in chosen states, and the command line on it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { buildAdmission, buildRenderSettings } from "../../src/app/build-domain.js";
import { createPools, type Pools } from "../../src/adapters/postgres/connection.js";
import { LedgerContext } from "../../src/adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../../src/adapters/postgres/postgres-ledger.js";
import { runCli } from "../../src/cli/run-cli.js";
import type { Config } from "../../src/config/config.js";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { loadConfig } from "../../src/config/load.js";
import type { AttemptIntent, WaitingExecution } from "../../src/domain/execution/execution.js";
import type { ErrorCode } from "../../src/domain/failure.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { AdmittedJob } from "../../src/domain/job/job.js";
import { createRenderer } from "../../src/domain/result/render.js";
import { keptHeaders, renderRefused } from "../../src/domain/result/render-refused.js";
import type { Renderer } from "../../src/domain/result/outgoing.js";
import { migratedDatabase, type FreshDatabase, type FreshTopicNames } from "../support/servers.js";

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export interface CliRun {
  readonly exitCode: number;
  readonly data: readonly string[];
  readonly notes: readonly string[];
}

/** What else there is beside the database; without it a port that nobody listens on. */
export interface FixtureServers {
  readonly kafkaBrokers?: string;
  readonly topics?: FreshTopicNames;
  readonly providerUrl?: string;
  readonly redisUrl?: string;
  /** Of `openai-main`, beside its places, as YAML. */
  readonly limits?: string;
  /** Of `openai-main`, beside its limits, as YAML. */
  readonly account?: string;
}

export class OperatorFixture {
  readonly config: Config;
  readonly pools: Pools;
  readonly ledger: PostgresLedger;
  readonly context: LedgerContext;
  readonly render: Renderer;
  readonly session: SessionNo;
  readonly #database: FreshDatabase;
  readonly #folder: string;
  #offset = 0;

  static async open({
    kafkaBrokers = "127.0.0.1:1",
    topics,
    providerUrl = "http://127.0.0.1:1",
    redisUrl,
    limits = "",
    account = "",
  }: FixtureServers = {}): Promise<OperatorFixture> {
    const database = await migratedDatabase();
    const folder = mkdtempSync(join(tmpdir(), "sluice-operator-"));
    writeFileSync(
      join(folder, "sluice.yaml"),
      `
environment: test
kafka: { brokers: ['${kafkaBrokers}'] }
${topics === undefined ? "" : `topics: { jobs: ['${topics.jobs}'], results: '${topics.results}', costs: '${topics.costs}', events: '${topics.events}' }`}
postgres: { url: '\${DATABASE_URL}' }
${redisUrl === undefined ? "" : `redis: { url: '${redisUrl}' }`}
auth: { tenantFrom: body }
tenants: { acme: { tier: standard }, shop: { tier: free } }
budgets: [{ tenant: shop, limitUsd: "1" }, { tenant: acme, limitUsd: "25.00", window: month }]
http: { port: 0 }
providers:
  openai-main: { kind: openai, baseUrl: '${providerUrl}', apiKey: '\${KEY}', limits: { concurrency: 4${limits} }${account} }
models:
  cheap: { maxOutputTokensDefault: 100, candidates: [{ provider: openai-main, model: gpt-4.1-mini }] }
`,
    );
    const config = loadConfig(
      join(folder, "sluice.yaml"),
      { DATABASE_URL: database.url, KEY: "sk-test" },
      PROVIDER_KINDS,
    );
    const pools = createPools(config.postgres, SILENT);
    const context = new LedgerContext(pools, "test-cluster", () => Date.now());
    const ledger = new PostgresLedger(context, ["acme", "shop"]);
    return new OperatorFixture(
      config,
      pools,
      context,
      ledger,
      await ledger.openSession("test-router"),
      database,
      folder,
    );
  }

  private constructor(
    config: Config,
    pools: Pools,
    context: LedgerContext,
    ledger: PostgresLedger,
    session: SessionNo,
    database: FreshDatabase,
    folder: string,
  ) {
    this.config = config;
    this.pools = pools;
    this.context = context;
    this.ledger = ledger;
    this.session = session;
    this.#database = database;
    this.#folder = folder;
    this.render = createRenderer(buildRenderSettings(config, "test-cluster"));
  }

  /** Of its database. */
  get url(): string {
    return this.#database.url;
  }

  async close(): Promise<void> {
    await this.pools.close();
    await this.#database.drop();
    rmSync(this.#folder, { recursive: true });
  }

  cli(...args: readonly string[]): Promise<CliRun> {
    return this.cliUntil(() => false, ...args);
  }

  /** A command that is ended as by SIGTERM when its data is what the test waits for. */
  async cliUntil(isEnough: (data: readonly string[]) => boolean, ...args: readonly string[]): Promise<CliRun> {
    const stop = new AbortController();
    const data: string[] = [];
    const notes: string[] = [];
    const exitCode = await runCli(args, {
      data: (line) => {
        data.push(line);
        if (isEnough(data)) stop.abort("SIGTERM");
      },
      note: (line) => notes.push(line),
      env: { SLUICE_CONFIG: join(this.#folder, "sluice.yaml"), DATABASE_URL: this.#database.url, KEY: "sk-test" },
      signal: stop.signal,
    });
    return { exitCode, data, notes };
  }

  /** The one JSON value that a command printed, of the shape that the test says: a wrong one fails it. */
  async json<Shape = unknown>(...args: readonly string[]): Promise<Shape> {
    const { data, notes } = await this.cli(...args, "--json");
    if (data.length !== 1)
      throw new Error(`expected one line of JSON, got ${String(data.length)}: ${notes.join("\n")}`);
    return JSON.parse(data[0] ?? "") as Shape;
  }

  async rows(sql: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.#database.url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  /** Accepts jobs as a router does; they wait as rows. A document without body asks the same question as its id. */
  async accept(...documents: readonly Readonly<Record<string, unknown>>[]): Promise<void> {
    await this.context.numbers.reserve(documents.length * 2);
    const admission = buildAdmission(this.config, "test-cluster");
    const since = this.#offset;
    const records = documents.map((document) => ({
      topic: "llm.jobs.v1",
      partition: 0,
      offset: this.#offset++,
      timestampMs: Date.now(),
      key: Buffer.from("key"),
      headers: [{ name: "trace", value: Buffer.from("t-1") }],
      value: Buffer.from(
        JSON.stringify({
          tenant: "acme",
          body: { model: "cheap", messages: [{ role: "user", content: document["jobId"] }] },
          ...document,
        }),
      ),
    }));
    const jobs = records.map((record) => {
      const admitted = admission.admit(record, Date.now());
      if (admitted.kind !== "job") throw new Error(`the fixture's job was not admitted: ${JSON.stringify(admitted)}`);
      return {
        no: this.context.numbers.next(),
        job: admitted.job satisfies AdmittedJob,
        record: { value: record.value, headersText: keptHeaders(record.headers) },
        intent: null,
        riskNanoUsd: null,
      };
    });
    await this.#group({ since, jobs, refused: [] });
  }

  /** Refuses bytes, no JSON unless given, as a router does. */
  async refuse(value = "{"): Promise<void> {
    await this.context.numbers.reserve(4);
    const since = this.#offset++;
    const record = {
      topic: "llm.jobs.v1",
      partition: 0,
      offset: since,
      timestampMs: Date.now(),
      key: null,
      headers: [],
      value: Buffer.from(value),
    };
    const admitted = buildAdmission(this.config, "test-cluster").admit(record, Date.now());
    if (admitted.kind !== "refused") throw new Error("expected the record to be refused");
    const refused = renderRefused(buildRenderSettings(this.config, "test-cluster"), {
      no: this.context.numbers.next(),
      day: this.context.today(),
      record,
      headersText: "[]",
      refusal: admitted.refusal,
      nowMs: Date.now(),
    });
    await this.#group({ since, jobs: [], refused: [refused] });
  }

  async #group(
    group: { readonly since: number } & Pick<Parameters<PostgresLedger["accept"]>[0], "jobs" | "refused">,
  ): Promise<void> {
    const moves = [
      { topic: "llm.jobs.v1", partition: 0, since: group.since, upto: this.#offset, witness: Buffer.alloc(8) },
    ];
    await this.ledger.openPosition("llm.jobs.v1", 0, 0);
    const outcome = await this.ledger.accept(
      {
        session: this.session,
        groupNo: 1 + this.#offset,
        moves,
        jobs: group.jobs,
        refused: group.refused,
        cancels: [],
      },
      this.render,
    );
    if (outcome.kind !== "accepted") throw new Error(`expected the group to be accepted, got ${outcome.kind}`);
  }

  /** Fails everything that waits. */
  async failWaiting(code: ErrorCode = "PROVIDER_UNAVAILABLE"): Promise<void> {
    await this.ledger.claim(
      { session: this.session, nowMs: Date.now(), pick: "run", limit: 100 },
      () => ({ kind: "fail", failure: { code, message: "as the test wants it", provider: null, retryAtMs: null } }),
      this.render,
    );
  }

  /** Starts everything that waits and is due. */
  async start(): Promise<readonly { readonly execution: WaitingExecution; readonly intent: AttemptIntent }[]> {
    await this.context.numbers.reserve(100);
    const claimed = await this.ledger.claim(
      { session: this.session, nowMs: Date.now(), pick: "run", limit: 100 },
      () => ({
        kind: "start",
        intent: {
          no: this.context.numbers.next(),
          number: 1,
          account: "openai-main",
          provider: "openai",
          model: "gpt-4.1-mini",
          routeIndex: 0,
          maxNanoUsd: 5000n,
          startedAtMs: Date.now(),
        },
      }),
      this.render,
    );
    return claimed.started;
  }

  /** Answers calls that were started, at 1,234 nano-dollars each. */
  async answer(
    started: readonly { readonly execution: WaitingExecution; readonly intent: AttemptIntent }[],
  ): Promise<void> {
    const nowMs = Date.now();
    const usage = {
      inputTokens: 10,
      cachedInputTokens: 0,
      cacheWriteTokens: 0,
      cacheWrite1hTokens: 0,
      outputTokens: 5,
      reasoningTokens: null,
    };
    const calls = started.map(({ execution, intent }) => {
      const summary = {
        number: intent.number,
        no: intent.no,
        provider: intent.provider,
        account: intent.account,
        model: intent.model,
        mode: "direct",
        outcome: "succeeded",
        providerRequestId: "req-1",
        startedAtMs: intent.startedAtMs,
        ms: 5,
        maxNanoUsd: "5000",
      } as const;
      const facts = {
        finishReason: "stop",
        provider: intent.provider,
        account: intent.account,
        model: intent.model,
        modelVersion: null,
        usage,
        nanoUsd: "1234",
        maxNanoUsd: "1234",
        listNanoUsd: "1234",
        priceVersion: "p1",
        attempt: summary,
        cacheable: true,
      };
      return {
        execution: execution.key,
        attempt: intent,
        outcome: "succeeded",
        endedAtMs: nowMs,
        requestId: "req-1",
        modelVersion: null,
        usage,
        priceVersion: "p1",
        nanoUsd: 1234n,
        summary,
        earlier: execution.history,
        verdict: { kind: "succeed", answer: { bodyText: '{"answer":42}', facts } },
      } as const;
    });
    await this.ledger.finish({ session: this.session, nowMs, calls }, this.render);
  }
}
