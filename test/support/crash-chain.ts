import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CrashLine } from "../../src/app/crash-point.js";
import type { CrashPoint } from "../../src/ports/crash-points.js";
import { Gateway } from "./gateway.js";
import { moneyOf } from "./gateway-batches.js";
import { answerDigests, chatJob, digestOf, headerText, printOf, resultIn, type JobFields } from "./gateway-records.js";
import type { GatewayRouter } from "./gateway-router.js";
import { servers } from "./servers.js";

/** Routers and commands that die one after another on one set of servers: each takes over what those before it left. */

/** Aliases of the chain's config, by what becomes of their jobs. */
export type Alias = "cheap" | "failing" | "sick" | "mute" | "lines" | "grouped";

export interface RouterStep {
  readonly point: CrashPoint;
  /** Behind the point's name: `:2` or `+50`. */
  readonly which?: string;
  /** Another name than that of the others: it has not their journal, as on another machine. */
  readonly name?: string;
  /** Before the router starts. */
  readonly load?: (chain: CrashChain) => Promise<unknown>;
  /** While it runs. */
  readonly meanwhile?: (chain: CrashChain, router: GatewayRouter) => Promise<unknown>;
  /** Behind its end. */
  readonly then?: (chain: CrashChain) => Promise<unknown>;
}

/** How a process came to its point; all null when it did not. */
export interface Death {
  readonly signal: NodeJS.Signals | null;
  /** What it wrote before. */
  readonly line: Pick<CrashLine, "crashPoint" | "passing"> | null;
  /** Whether the line names the process that died. */
  readonly isItsOwn: boolean;
  /** The end of the log of one that did not die; null: it died. */
  readonly log: string | null;
}

const ROUTER = "router";
/** A day of the provider's passes in 43 s: commands have the time to stop a batch that takes nearly as long. */
const TIME_SCALE = 2000;
const QUICK_BATCHES = { validatingMs: 1000, turnaroundMs: 5000, jitterMs: 0, finalizingMs: 1000, cancellingMs: 1000 };
const DEATH_WAIT_MS = 45_000;
const END_WAIT_MS = 120_000;
/** Records that deaths may meet three times before they are accepted, in a chain. */
const SUSPECTS_MAX = 2;

export class CrashChain {
  readonly gateway: Gateway;
  readonly deaths = new Map<CrashPoint, Death>();
  readonly #folder: string;
  readonly #mute: MuteServer;
  readonly #jobs: { readonly id: string; readonly alias: Alias }[] = [];
  readonly #cancelled = new Set<string>();
  /** Whose results go to a topic that is not there yet. */
  readonly #late = new Set<string>();
  #published = 0;
  #lives = 0;
  /** The last death came before what was published was accepted. */
  #leftUnread = false;

  static async open(name: string): Promise<CrashChain> {
    const folder = await mkdtemp(join(tmpdir(), `sluice-${name}-`));
    const mute = await MuteServer.open();
    const gateway = await Gateway.open({
      name,
      replyTopics: { late: "missing" },
      simulatorArgs: ["--time-scale", String(TIME_SCALE), "--models", JSON.stringify(OWN_MODELS)],
      // A group of its own for each life: a dead member would keep its partitions for six seconds. Positions are the ledger's.
      env: { GROUP: "none", REDIS_URL: servers().redisUrl },
      config: {
        kafka: { groupId: "${GROUP}" },
        postgres: { session: { beatMs: 200, stopAfterMs: 1500, deadAfterMs: 2000 } },
        delivery: { idlePollMs: 50, sweepAfterMs: 200, undeliverableAfterMs: 1000 },
        providers: (simulatorUrl) => providers(simulatorUrl, mute.url),
        sections: {
          models: MODELS,
          redis: { url: "${REDIS_URL}" },
          storage: { journal: { folder: join(folder, "journal") } },
          budgets: [{ tenant: "acme", limitUsd: "100" }],
          batching: BATCHING,
          health: { degradedAfter: 1, openAfter: 1, cooldownMs: 300, cooldownMaxMs: 300, lookEveryMs: 100 },
        },
      },
    });
    await gateway.simulator.setBatchTimes(QUICK_BATCHES);
    return new CrashChain(gateway, folder, mute);
  }

  private constructor(gateway: Gateway, folder: string, mute: MuteServer) {
    this.gateway = gateway;
    this.#folder = folder;
    this.#mute = mute;
  }

  /** Publishes so many jobs of an alias. @returns their ids. */
  async jobs(alias: Alias, count: number, fields: JobFields = {}): Promise<readonly string[]> {
    await this.#allRead();
    const ids = Array.from({ length: count }, () => `${alias} ${String((this.#published += 1))}`);
    const mode = alias === "lines" || alias === "grouped" ? { mode: "batch" } : {};
    const records = ids.map((id) => {
      const job = JSON.parse(chatJob(id, id, { ...mode, ...fields })) as { readonly body: object }; // our own
      return { value: JSON.stringify({ ...job, body: { ...job.body, model: alias } }) };
    });
    await this.gateway.topics.publish(records);
    this.#jobs.push(...ids.map((id) => ({ id, alias })));
    if (fields["replyTo"] !== undefined) for (const id of ids) this.#late.add(id);
    return ids;
  }

  /** A record that becomes a dead letter unread. */
  async malformed(): Promise<void> {
    await this.#allRead();
    this.#published += 1;
    await this.gateway.publish({ value: "{ no job" });
  }

  /** Runs a router that dies at the point. */
  async die({ point, which = "", name = ROUTER, load, meanwhile, then }: RouterStep): Promise<void> {
    await load?.(this);
    const router = this.gateway.launchRouter(name, { ...this.#life(), ...this.#armed(point, which) });
    const acted = meanwhile?.(this, router).catch(() => undefined); // its end cuts whatever waits for it
    await within(DEATH_WAIT_MS, router.ended);
    await acted;
    const isDead = !router.running;
    if (!isDead) await router.end("SIGKILL");
    const { code, signal } = await router.ended;
    if (code !== null) throw new Error(`at ${point} the router ended with ${String(code)}: ${router.tail()}`);
    this.#noteDeath(point, isDead ? signal : null, router.pid, isDead ? null : router.tail());
    this.#leftUnread = (await this.gateway.position()) < this.#published;
    await then?.(this);
  }

  /**
   * A router lives until all that is published is accepted. Routers that die at what those before them left may do so before they accept
   * anything, and the third that dies in front of the same record accuses it.
   */
  async #allRead(): Promise<void> {
    if (!this.#leftUnread) return;
    this.#leftUnread = false;
    const router = await this.survivor();
    await this.gateway.until("all records accepted", async () => (await this.gateway.position()) === this.#published);
    await router.end("SIGTERM");
  }

  /** Runs a command that dies at the point. */
  async commandDies(point: CrashPoint, ...args: readonly string[]): Promise<void> {
    const { signal, pid } = await this.gateway.cliWith(this.#armed(point, ""), ...args);
    this.#noteDeath(point, signal, pid);
  }

  /** A job that was cancelled has a result that says so. */
  cancelled(id: string): void {
    this.#cancelled.add(id);
  }

  /** A router that kills itself nowhere. */
  survivor(): Promise<GatewayRouter> {
    return this.gateway.startRouter(ROUTER, this.#life());
  }

  /** Of whatever is not as it was promised, a line each; none when all is. Waits for what is still on its way. */
  async findings(): Promise<readonly string[]> {
    const { gateway } = this;
    await this.#settled();
    await this.#reconciled();
    const { billed, booked } = await moneyOf(gateway);
    const findings = this.#jobs.map((job) => this.#resultFinding(job));
    const suspects = this.#jobs.filter(({ id }) => this.#letterOf(id) === "CRASH_SUSPECT").length;
    if (suspects > SUSPECTS_MAX) findings.push(`${String(suspects)} records were taken for such that kill`);
    findings.push(await this.#lateFinding());
    if (billed !== booked) findings.push(`billed ${String(billed)}, booked ${String(booked)}`);
    const attempts = (await gateway.simulator.bill()).map(({ attempt }) => attempt);
    const twice = attempts.filter((attempt, at) => attempts.indexOf(attempt) !== at);
    if (twice.length > 0) findings.push(`attempts billed twice: ${twice.join(", ")}`);
    findings.push(...(await this.#left()));
    return findings.flatMap((finding) => finding ?? []);
  }

  async close(): Promise<void> {
    await this.gateway.close();
    await this.#mute.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #life(): Readonly<Record<string, string>> {
    return { GROUP: `${this.gateway.topics.names.jobs}.${String((this.#lives += 1))}` };
  }

  #armed(point: CrashPoint, which: string): Readonly<Record<string, string>> {
    return { SLUICE_CRASH_AT: `${point}${which}`, SLUICE_CRASH_LOG: this.#crashLog };
  }

  get #crashLog(): string {
    return join(this.#folder, "crashes.jsonl");
  }

  #noteDeath(point: CrashPoint, signal: NodeJS.Signals | null, pid: number, log: string | null = null): void {
    const text = existsSync(this.#crashLog) ? readFileSync(this.#crashLog, "utf8") : "";
    const lines = text.split("\n").filter((line) => line !== "");
    const last = JSON.parse(lines.at(-1) ?? "null") as CrashLine | null; // our own
    const line = last === null ? null : { crashPoint: last.crashPoint, passing: last.passing };
    this.deaths.set(point, { signal, line, isItsOwn: last?.pid === pid, log });
  }

  async #settled(): Promise<void> {
    const none = async (sql: string): Promise<boolean> => (await this.gateway.query(`${sql} LIMIT 1`)).length === 0;
    await this.gateway.until(
      "the end of all work",
      async () =>
        (await this.gateway.position()) === this.#published &&
        (await none("SELECT 1 FROM jobs WHERE state = 'active'")) &&
        (await none("SELECT 1 FROM attempts WHERE state IN ('sending', 'batched', 'in_doubt')")) &&
        (await none("SELECT 1 FROM batches WHERE next_at_ms IS NOT NULL AND state <> 'done'")) &&
        (await none("SELECT 1 FROM outbox_ready")),
      END_WAIT_MS,
    );
  }

  /** The provider's bill settles what kills left open, killed itself at its first row and behind it. */
  async #reconciled(): Promise<void> {
    const file = join(this.#folder, "bill.jsonl");
    const rows = await this.gateway.simulator.bill();
    await writeFile(file, rows.map((row) => JSON.stringify(row)).join("\n"));
    const command = ["costs", "reconcile", "--bill", file, ...ACCOUNTS.flatMap((name) => ["--account", name])];
    const until = ["--until", new Date(Date.now() + 1000).toISOString()];
    await this.commandDies("resolve.before_commit", ...command, ...until);
    await this.commandDies("resolve.after", ...command, ...until);
    const { exitCode, notes, data } = await this.gateway.cli(...command, ...until, "--json");
    if (exitCode !== 0) throw new Error(`costs reconcile: ${notes.join("; ")} ${data.join("; ")}`);
  }

  /** The code of the dead letter of a job's record; null: it has none. Records lie in one partition, in the order of their ids' numbers. */
  #letterOf(id: string): string | null {
    const offset = String(Number(id.split(" ").at(-1)) - 1);
    const letter = this.gateway.topics.deadLetters.find((one) => headerText(one, "__dlq.errors.offset") === offset);
    return letter === undefined ? null : headerText(letter, "llm-error-code");
  }

  /** What was asked for at a topic that came late lies there: as many records as jobs. */
  async #lateFinding(): Promise<string | null> {
    if (this.#late.size === 0) return null;
    const offsets = await this.gateway.topics.admin.fetchTopicOffsets(this.gateway.replyTopic("late"));
    const held = offsets.reduce((sum, { high }) => sum + Number(high), 0);
    return held >= this.#late.size
      ? null
      : `${String(held)} of ${String(this.#late.size)} results lie in the late topic`;
  }

  #resultFinding({ id, alias }: { readonly id: string; readonly alias: Alias }): string | null {
    const found = this.gateway.resultsOf(id);
    const distinct = new Map(found.map((record) => [printOf(record), resultIn(record)]));
    const results = [...distinct.values()];
    const letter = this.#letterOf(id);
    // Three routers died with it in hands, before it was accepted: it is put aside unread.
    if (letter === "CRASH_SUSPECT") return results.length === 0 ? null : `${id}: put aside, and answered`;
    if (this.#late.has(id))
      return results.length === 0 && letter === "REPLY_UNDELIVERABLE" ? null : `${id}: not put aside, or answered here`;
    const last = results.find(({ generation }) => generation === results.length - 1);
    if (last === undefined || new Set(results.map(({ generation }) => generation)).size !== results.length)
      return `${id}: expected one result of each generation, found ${JSON.stringify(results)}; its letter: ${letter ?? "none"}`;
    if (this.#cancelled.has(id)) return last.status === "cancelled" ? null : `${id}: ${last.status}, not cancelled`;
    if (results.length !== (alias === "failing" ? 2 : 1)) return `${id}: ${String(results.length)} generations`;
    if (last.status !== "succeeded") return `${id}: ${JSON.stringify(last.error)}`;
    return answerDigests(last).prompt === digestOf(id) ? null : `${id}: has another job's answer`;
  }

  async #left(): Promise<readonly string[]> {
    const counts = {
      "rows that wait": "SELECT (SELECT count(*) FROM ready) + (SELECT count(*) FROM batch_ready) AS n",
      "money that is reserved": "SELECT coalesce(sum(reserved_nano), 0) AS n FROM budgets",
      "attempts that hold money": "SELECT count(*) AS n FROM attempts WHERE reserved_in IS NOT NULL",
      // What was in doubt has an adjustment beside its record.
      "costs that nobody knows":
        "SELECT count(*) AS n FROM (SELECT attempt_no FROM costs WHERE attempt_no IS NOT NULL GROUP BY attempt_no HAVING count(nano_usd) = 0) c",
      "sessions that nobody recovered":
        "SELECT count(*) AS n FROM routers WHERE ended_at IS NOT NULL AND recovered_at IS NULL",
    };
    const findings: string[] = [];
    for (const [what, sql] of Object.entries(counts)) {
      const [row] = await this.gateway.query<{ n: string }>(sql);
      if (row?.n !== "0") findings.push(`${what}: ${String(row?.n)}`);
    }
    return findings;
  }
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

const OWN_MODELS = { "llama-3.1-8b": { inputPerMTok: "0.5", outputPerMTok: "1.5", contextWindow: 8192 } };
const MODELS = {
  cheap: { candidates: [{ provider: "main", model: "gpt-4.1-mini" }] },
  failing: { candidates: [{ provider: "main", model: "gpt-4.1-nano" }] },
  sick: {
    candidates: [
      { provider: "sick", model: "gpt-4o-mini" },
      { provider: "main", model: "gpt-4.1-mini" },
    ],
  },
  mute: {
    candidates: [
      { provider: "mute", model: "gpt-4.1-mini" },
      { provider: "main", model: "gpt-4.1-mini" },
    ],
  },
  lines: { candidates: [{ provider: "lines", model: "gpt-4.1-mini" }] },
  grouped: { candidates: [{ provider: "grouped", model: "llama-3.1-8b" }] },
};
const BATCHING = {
  callTimeoutMs: 700,
  lookEveryMs: 50,
  pollMinMs: 100,
  pollMaxMs: 500,
  turnaroundPriorMs: 60_000,
  groupSizeMax: 2,
  eraseAfterMs: 300,
};
const ACCOUNTS = ["main", "sick", "lines", "grouped"];

function providers(simulatorUrl: string, muteUrl: string): Readonly<Record<string, unknown>> {
  const inDoubt = { policy: "retry", graceMs: 300, createGraceMs: 800 };
  const openai = { kind: "openai", baseUrl: `${simulatorUrl}/v1`, apiKey: "${OPENAI_API_KEY}", inDoubt };
  const batch = { linesMax: 10, flushAfterMs: 50 };
  return {
    main: { ...openai, limits: { concurrency: 4, requestsPerMinute: 100_000 } },
    sick: openai,
    mute: { ...openai, baseUrl: `${muteUrl}/v1`, connectTimeoutMs: 1000 },
    lines: { ...openai, batch },
    grouped: {
      ...{ kind: "openai-compatible", baseUrl: `${simulatorUrl}/vllm/v1`, apiKey: "${OPENAI_API_KEY}", inDoubt, batch },
      prices: { perMillion: { "llama-3.1-8b": { input: "0.5", output: "1.5" } } },
    },
  };
}

/** Takes connections and never says a word: TLS never comes about, so no byte of a request leaves. */
class MuteServer {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  static async open(): Promise<MuteServer> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("expected a port");
    return new MuteServer(server, sockets, `https://127.0.0.1:${String(address.port)}`);
  }

  private constructor(server: Server, sockets: Set<Socket>, url: string) {
    this.#server = server;
    this.#sockets = sockets;
    this.url = url;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
