/**
 * Rows A1 to A14 of the fault catalogue: every crash point, each at a process that kills itself there. Routers die one after another on two
 * sets of topics, one with direct calls and one with batches; each begins on what those before it left, and the last lives until all is done.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import pg from "pg";
import { createTopics } from "../../src/adapters/kafka/topics.js";
import { systemClock } from "../../src/adapters/system/system-clock.js";
import { CRASH_POINTS, crashPointFacts, type CrashPoint } from "../../src/ports/crash-points.js";
import { CrashChain, type Death, type RouterStep } from "../support/crash-chain.js";
import { CLI } from "../support/gateway-router.js";
import { freshDatabase } from "../support/servers.js";

/** The row of the catalogue that a kill at the point belongs to; null: none of A1 to A14 says it. */
const ROWS: Readonly<Record<string, readonly CrashPoint[]>> = {
  A1: ["intake.read", "intake.before_accept", "intake.before_commit"],
  A2: [
    ...(["intake.commit_sent", "intake.after_accept", "intake.settled"] as const),
    ...(["intake.before_offset_commit", "intake.after_offset_commit"] as const),
  ],
  A3: [
    ...(["batch.before_open", "batch.opened", "batch.bind_before_commit", "batch.bind_commit_sent"] as const),
    ...(["batch.bound", "batch.sealed", "claim.before_commit", "claim.commit_sent", "claim.after"] as const),
  ],
  A4: ["batch.uploading", "batch.upload_line", "batch.upload_answered", "batch.uploaded"],
  A5: [
    ...(["batch.creating", "batch.create_leaving", "batch.create_in_flight", "batch.list_read"] as const),
    ...(["batch.fence_dropped", "batch.fenced"] as const),
  ],
  A6: ["batch.create_answered", "batch.adopted", "batch.submitted"],
  A7: ["batch.claimed", "batch.polled", "batch.ended", "batch.downloading"],
  A8: ["batch.result_read", "batch.group_stored", "batch.group_saved", "batch.results_read", "batch.done"],
  A9: ["finish.before_commit", "finish.commit_sent", "finish.after_write", "relay.before_send"],
  A10: ["relay.in_flight", "relay.after_ack", "relay.after_drop", "relay.swept"],
  A11: ["cost.before_send", "cost.after_ack"],
  A12: [
    ...(["dead_letter.before_send", "dead_letter.after_ack", "give_up.before_commit", "give_up.after"] as const),
    ...(["replay.before_commit", "replay.commit_sent", "replay.after_letter", "redeliver.before_commit"] as const),
  ],
  A13: ["session.draining", "session.drained", "session.ended"],
  A14: [
    ...(["start.schema_checked", "start.listening", "start.ready", "session.opened"] as const),
    ...(["session.journal_opened", "migrate.locked", "migrate.before_file", "migrate.before_commit"] as const),
    "migrate.done",
  ],
};
const rowOf = (point: CrashPoint): string | null =>
  Object.entries(ROWS).find(([, points]) => points.includes(point))?.[0] ?? null;

const direct = (chain: CrashChain): Promise<unknown> => chain.jobs("cheap", 3);
const lines = (chain: CrashChain): Promise<unknown> => chain.jobs("lines", 3);
const grouped = (chain: CrashChain): Promise<unknown> => chain.jobs("grouped", 3);
const at = (point: CrashPoint, load?: RouterStep["load"], more: Partial<RouterStep> = {}): RouterStep => ({
  point,
  ...(load === undefined ? {} : { load }),
  ...more,
});
/** SIGTERM once it reads. */
const told: Pick<RouterStep, "meanwhile"> = {
  meanwhile: async (_chain, router) => {
    await router.event("router.ready");
    router.signal("SIGTERM");
  },
};
const faults =
  (rules: readonly unknown[], load: (chain: CrashChain) => Promise<unknown>): RouterStep["load"] =>
  async (chain) => {
    await chain.gateway.simulator.setFaults(rules);
    await load(chain);
  };
const FAILING = { match: { model: "gpt-4.1-nano" }, fault: { kind: "status", status: 400 } };
const SICK = { match: { model: "gpt-4o-mini" }, fault: { kind: "status", status: 500 } };
const calm: Pick<RouterStep, "then"> = { then: (chain) => chain.gateway.simulator.setFaults([]) };

/** A job that no router has called yet, cancelled by commands that die. */
const cancelOne = async (chain: CrashChain): Promise<void> => {
  const [id = ""] = await chain.jobs("cheap", 1);
  await chain.die(at("intake.after_accept", direct));
  chain.cancelled(id);
  await chain.commandDies("operator.session_opened", "jobs", "cancel", id);
  await chain.commandDies("cancel.before_commit", "jobs", "cancel", id);
  await chain.commandDies("cancel.after", "jobs", "cancel", id);
};

/** A record that three dead routers had in hands is one that kills: between two deaths in front of an accept there is always another. */
const DIRECT: readonly (RouterStep | ((chain: CrashChain) => Promise<void>))[] = [
  at("start.schema_checked"),
  at("start.listening"),
  at("session.opened"),
  at("session.journal_opened"),
  at("start.ready"),
  at("intake.read", direct),
  at("finish.before_write"),
  at("intake.before_accept", direct),
  at("call.before_start"),
  at("intake.before_commit", direct),
  at("call.first_byte"),
  at("intake.commit_sent", direct),
  at("claim.before_commit"),
  cancelOne,
  at("claim.commit_sent"),
  at("claim.after"),
  at("call.in_air", direct),
  at("session.dead_declared", undefined, { name: "elsewhere" }), // on the same disk the journal tells of the death first
  at("session.doubts_stored"),
  at("session.recovered"), // which may have settled what was in doubt
  at("call.answered", direct),
  at("doubt.settled"),
  at("event.before_send"),
  at("event.after_ack"),
  at("call.kept", direct),
  at("journal.read"),
  at("journal.forgotten"),
  at("finish.before_commit", direct),
  at("finish.commit_sent", direct),
  at("finish.after_write", direct),
  at("relay.swept"),
  at("relay.before_send", direct),
  at("relay.in_flight", direct),
  at("relay.after_ack", direct),
  at("relay.after_drop", direct),
  at("cost.before_send", direct),
  at(
    "cost.after_ack",
    faults([FAILING, SICK], async (chain) => {
      await direct(chain); // those that fail cost nothing
      await chain.jobs("failing", 4);
    }),
  ),
  at("dead_letter.before_send", (chain) => chain.malformed()),
  at("dead_letter.after_ack", (chain) => chain.malformed()),
  at("give_up.before_commit", (chain) => chain.jobs("cheap", 1, { replyTo: chain.gateway.replyTopic("late") })),
  at("give_up.after"),
  at("intake.settled", direct),
  at("intake.before_offset_commit", direct),
  at("intake.after_offset_commit", direct),
  at("give_back.before_commit", (chain) => chain.jobs("mute", 1)),
  at("give_back.after", (chain) => chain.jobs("mute", 1)),
  at("breaker.before_commit", (chain) => chain.jobs("sick", 1)),
  at("breaker.after_save", (chain) => chain.jobs("sick", 1)),
  at("grant.before_ask", direct),
  at("grant.received", direct),
  at("session.before_beat"),
  at("session.after_beat"),
  at("session.draining", direct, told),
  at("session.drained", direct, told),
  at("session.ended", undefined, told),
];

/** A batch that takes its time, whose end is asked for. */
const cancelBatch = async (chain: CrashChain): Promise<void> => {
  await chain.gateway.simulator.setBatchTimes({ turnaroundMs: 3_600_000 * 20 });
  const meanwhile = async (): Promise<void> => {
    const open = await chain.gateway.until("a batch at the provider", async () => {
      const rows = await chain.gateway.query<{ no: string }>(
        "SELECT no FROM batches WHERE state = 'submitted' AND account = 'lines'",
      );
      return rows[0] ?? null;
    });
    const cancel = ["batches", "cancel", `b-${open.no}`, "--yes"];
    await chain.commandDies("batch_cancel.before_commit", ...cancel);
    await chain.gateway.cli(...cancel);
  };
  await chain.die(at("batch.cancel_answered", lines, { meanwhile }));
  await chain.die(at("batch.cancelling"));
  await chain.gateway.simulator.setBatchTimes({ turnaroundMs: 5000 });
};

const NEVER_ARRIVES = { match: { operation: "openai.batches.create", nth: 1 }, fault: { kind: "drop_before" } };
/** Of a kind that no line is to blame for: one alone in its batch would fail. */
const REFUSED = { match: { count: 1 }, fault: { kind: "batch_refused", code: "token_limit_exceeded", line: 0 } };

const BATCHES: typeof DIRECT = [
  at("batch.before_open", lines),
  at("batch.opened"),
  at("batch.bind_before_commit", lines),
  at("batch.bind_commit_sent", lines),
  at("batch.bound", lines),
  at("batch.sealed", lines),
  at("batch.claimed"),
  at("batch.uploading"),
  at("batch.upload_line", lines, { which: ":2" }),
  at("batch.upload_answered"),
  at("batch.uploaded", lines),
  at("batch.creating"),
  at("batch.create_leaving", lines),
  at("batch.create_in_flight", lines),
  at("batch.list_read"),
  at("batch.create_answered", lines),
  at("batch.adopted"),
  at("batch.submitted", lines),
  at("batch.fence_dropped", faults([NEVER_ARRIVES], lines)),
  at("batch.fenced", undefined, calm),
  at("batch.save_before_commit", lines),
  at("batch.save_commit_sent", lines),
  at("batch.polled", lines),
  at("batch.ended", lines),
  at("batch.downloading", lines),
  at("batch.result_read", lines, { which: ":2" }),
  at("batch.group_stored", lines),
  at("batch.group_saved", lines),
  at("batch.results_read", lines),
  at("batch.done", lines),
  at("batch.erased"),
  cancelBatch,
  at("batch.lines_returned", faults([REFUSED], lines), calm),
  at("group.opened", grouped),
  at("group.lines_started", grouped),
  at("group.done", grouped),
];

/** What operators do on a ledger with dead letters while a router lives, and what they do again after each death. */
async function replays(chain: CrashChain): Promise<void> {
  const { gateway } = chain;
  const letters = async (code: string): Promise<readonly string[]> =>
    (
      await gateway.query<{ no: string }>(
        `SELECT no FROM dead_letters WHERE state = 'open' AND code ${code} ORDER BY no`,
      )
    ).map(({ no }) => no);
  const failed = await gateway.until("the letters of four failed jobs", async () => {
    const found = await letters("= 'PROVIDER_REFUSED'");
    return found.length === 4 ? found : null;
  });
  await gateway.simulator.setFaults([]);
  await chain.commandDies("replay.before_commit", "dlq", "replay", "--yes", ...failed);
  await chain.commandDies("replay.commit_sent", "dlq", "replay", "--yes", ...failed);
  await chain.commandDies("replay.after_letter", "dlq", "replay", "--yes", ...failed);
  await gateway.cli("dlq", "replay", "--yes", ...failed);

  const refused = await gateway.until("the letter of a result that nobody took", async () => {
    const found = await letters("= 'REPLY_UNDELIVERABLE'");
    return found.length === 0 ? null : found;
  });
  const topics = [{ topic: gateway.replyTopic("late"), numPartitions: 1, replicationFactor: 1 }];
  await createTopics(gateway.topics.admin, topics, systemClock);
  await chain.commandDies("redeliver.before_commit", "dlq", "replay", "--yes", ...refused);
  await gateway.cli("dlq", "replay", "--yes", ...refused);

  const malformed = await letters("= 'BAD_JSON'");
  await chain.commandDies("discard.before_commit", "dlq", "discard", "--yes", ...malformed);
  await gateway.cli("dlq", "discard", "--yes", ...malformed);
}

/** The ledger is told of a log that it does not fit, in a partition that nobody reads. */
async function adoption(chain: CrashChain): Promise<void> {
  const { gateway } = chain;
  const { jobs } = gateway.topics.names;
  await gateway.query("UPDATE inbox_position SET next = next + 1000000, witness = NULL");
  await chain.commandDies("adopt.before_commit", "topics", "adopt", "--topic", jobs, "--from", "latest");
  const [row] = await gateway.query<{ next: string }>("SELECT next FROM inbox_position");
  if (Number(row?.next) < 1_000_000)
    throw new Error(`expected nothing adopted by a dead command, found ${String(row?.next)}`);
}

const MIGRATIONS = [
  ["migrate.locked", ""],
  ["migrate.before_file", ":3"],
  ["migrate.before_commit", ":2"],
  ["migrate.done", ""],
] as const;

const MIGRATION_FILES = readdirSync(new URL("../../schemas/ledger", import.meta.url)).filter((name) =>
  name.endsWith(".sql"),
).length;
const LEDGER_ONLY = {
  environment: "test",
  kafka: { brokers: ["127.0.0.1:1"] },
  postgres: { url: "${DATABASE_URL}" },
  auth: { tenantFrom: "body" },
  tenants: {},
  providers: {},
};

async function run(chain: CrashChain, steps: typeof DIRECT): Promise<void> {
  for (const step of steps) {
    // Serial: each begins on what the last one left.
    if (typeof step === "function") await step(chain);
    else await chain.die(step);
  }
}

let chains: readonly CrashChain[] = [];
let findings: Readonly<Record<"direct" | "batches", readonly string[]>> = { direct: ["not run"], batches: ["not run"] };

beforeAll(async () => {
  chains = await Promise.all([CrashChain.open("points"), CrashChain.open("points-batch")]);
  const [one, other] = chains as readonly [CrashChain, CrashChain];
  const told = (error: unknown): readonly string[] => [String(error)]; // each test shows it, the first thing that went wrong is enough
  const [directFindings, batchFindings] = await Promise.all([
    (async () => {
      await run(one, DIRECT);
      const survivor = await one.survivor();
      await replays(one);
      const found = await one.findings();
      await survivor.end("SIGTERM");
      await adoption(one);
      return found;
    })().catch(told),
    (async () => {
      await run(other, BATCHES);
      await other.survivor();
      return other.findings();
    })().catch(told),
  ]);
  findings = { direct: directFindings, batches: batchFindings };
}, 900_000);
afterAll(async () => {
  await Promise.all(chains.map((chain) => chain.close()));
});

const deathAt = (point: CrashPoint): Death | null => {
  for (const { deaths } of chains) {
    const death = deaths.get(point);
    if (death !== undefined) return death;
  }
  return null;
};

const steps = [...DIRECT, ...BATCHES].flatMap((step) => (typeof step === "function" ? [] : [step]));
const passingOf = (point: CrashPoint): number =>
  Number(steps.find((step) => step.point === point)?.which?.slice(1) ?? "1");
const named = crashPointFacts()
  .filter(({ name }) => !name.startsWith("migrate."))
  .map(({ name, means }) => {
    const row = rowOf(name);
    return { title: `${row === null ? "" : `[${row}] `}killed at ${name}: ${means}`, name };
  });

test.each(named)("$title", ({ name }) => {
  const line = { crashPoint: name, passing: passingOf(name) };
  expect(deathAt(name)).toEqual({ signal: "SIGKILL", line, isItsOwn: true, log: null });
  expect(findings).toEqual({ direct: [], batches: [] });
});

describe("a migration", () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let folder = "";
  beforeAll(async () => {
    database = await freshDatabase();
    folder = mkdtempSync(join(tmpdir(), "sluice-migrate-"));
    writeFileSync(join(folder, "sluice.json"), JSON.stringify(LEDGER_ONLY));
  });
  afterAll(async () => {
    await database.drop();
    rmSync(folder, { recursive: true });
  });

  /** @returns what ended the command, and where it said so. */
  function migrateAt(at: string): { readonly signal: NodeJS.Signals | null; readonly said: string | null } {
    const env = { ...process.env, DATABASE_URL: database.url, SLUICE_CRASH_AT: at };
    const args = [CLI, "migrate", "--config", join(folder, "sluice.json")];
    const { signal, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8", timeout: 30_000 });
    const line = stderr.split("\n").find((one) => one.startsWith("{"));
    return { signal, said: line === undefined ? null : (JSON.parse(line) as { crashPoint: string }).crashPoint };
  }
  async function standing(): Promise<number> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query("SELECT 1 FROM sluice_migrations")).rows.length;
    } finally {
      await client.end();
    }
  }

  test("[A14] killed at each of its points holds no lock, leaves whole files only, and the next one goes on", async () => {
    const stood: number[] = [];
    for (const [point, which] of MIGRATIONS) {
      expect(migrateAt(`${point}${which}`)).toEqual({ signal: "SIGKILL", said: point });
      stood.push(await standing());
    }
    expect(stood).toEqual([0, 2, 3, MIGRATION_FILES]);
    expect(migrateAt("migrate.locked")).toEqual({ signal: null, said: null }); // nothing was left to do
  });
});

test("the list has no point that no process was killed at", () => {
  const tested = [...named.map(({ name }) => name), ...MIGRATIONS.map(([point]) => point)];
  expect(CRASH_POINTS.filter((point) => !tested.includes(point))).toEqual([]);
});
