/** The readers and checkers of a chaos run on a real gateway: a small run with every kind of record, a kill and a replay, in which all holds. */
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Redis } from "ioredis";
import { checkAll } from "../../src/chaos/checkers/check-all.js";
import { tellHistory } from "../../src/chaos/checkers/tell-history.js";
import type { Evidence, Fault, PublishedRecord, Samples } from "../../src/chaos/evidence/evidence.js";
import { installHistory } from "../../src/chaos/evidence/install-history.js";
import { readBill } from "../../src/chaos/evidence/read-bill.js";
import { readLedger } from "../../src/chaos/evidence/read-ledger.js";
import { readTopicEvidence } from "../../src/chaos/evidence/read-topics.js";
import { searchRedis } from "../../src/chaos/evidence/search-redis.js";
import { searchEntries, searchLedger, searchText } from "../../src/chaos/evidence/search-sinks.js";
import { sampleBudgets, sampleOffsets, sampleProcess, sampleQueues } from "../../src/chaos/evidence/take-samples.js";
import type { Phase } from "../../src/chaos/evidence/evidence.js";
import { groupOf } from "../support/gateway-config.js";
import { digestOf } from "../support/gateway-records.js";
import { openBatchGateway } from "../support/gateway-batches.js";
import type { Gateway } from "../support/gateway.js";
import { servers } from "../support/servers.js";

const CANARIES = { acme: "canary-of-acme", zenith: "canary-of-zenith" } as const;
const KEY = "sk-canary-of-the-account";
const LEVEL = '["tenant","acme",null,null,"total"]';
const LIMIT_USD = "0.5";
const TTL_MS = 3_600_000;

let gateway: Gateway;
let folder: string;
let evidence: Evidence;
const published: PublishedRecord[] = [];
const samples: { [Name in keyof Samples]: Samples[Name][number][] } = {
  budgets: [],
  offsets: [],
  processes: [],
  queues: [],
};

function sha256(text: string | Buffer): string {
  return createHash("sha256").update(text).digest("hex");
}

interface Wish {
  readonly kind: PublishedRecord["kind"];
  readonly jobId: string | null;
  readonly tenant?: "acme" | "zenith";
  readonly prompt?: string;
  readonly mode?: "direct" | "auto";
  readonly code?: string;
  /** In the place of a job. */
  readonly bytes?: Buffer | null;
}

/** Publishes one record as a chaos run's publisher does, and writes down what it was. */
async function publish({ kind, jobId, tenant = "acme", prompt, mode = "auto", code, bytes }: Wish): Promise<void> {
  const number = published.length;
  const text = prompt === undefined ? undefined : `${CANARIES[tenant]}: ${prompt}`;
  const body = {
    model: kind === "refused" ? "no-such-model" : "cheap",
    messages: [{ role: "user", content: text }],
    max_tokens: 64,
  };
  const sentAtMs = Date.now();
  const deadline = new Date(sentAtMs + TTL_MS).toISOString();
  const value = bytes === undefined ? Buffer.from(JSON.stringify({ jobId, tenant, body, mode, deadline })) : bytes;
  const key = `key of ${jobId ?? "nothing"}`;
  const correlation = `correlation ${String(number)}`;
  const headers = {
    "chaos-number": String(number),
    kafka_correlationId: correlation,
    ...(kind === "cancel" ? { "llm-action": "cancel", "llm-job-id": jobId ?? "", "llm-tenant": tenant } : {}),
  };
  const offset = await gateway.publish({ key, value, headers });
  published.push({
    number,
    kind,
    topic: gateway.topics.names.jobs,
    place: { partition: 0, offset: String(offset) },
    tenant,
    jobId,
    format: text === undefined ? null : "openai.chat",
    mode: text === undefined ? null : mode,
    valueDigest: sha256(value ?? Buffer.alloc(0)),
    requestKey: text === undefined ? null : sha256(JSON.stringify(body)),
    promptDigest: text === undefined ? null : digestOf(text),
    code: code ?? null,
    shared: true,
    deadlineMs: text === undefined ? null : Date.parse(deadline),
    key: Buffer.from(key).toString("base64"),
    correlation: Buffer.from(correlation).toString("base64"),
    sentAtMs,
  });
}

async function look(phase: Phase): Promise<void> {
  const client = await gateway.connection();
  const moment = { atMs: Date.now(), phase };
  const asked = { groupId: groupOf(gateway.topics.names), topic: gateway.topics.names.jobs };
  samples.budgets.push(...(await sampleBudgets(client, moment)));
  samples.queues.push(await sampleQueues(client, moment));
  samples.offsets.push(...(await sampleOffsets(gateway.topics.admin, client, asked, moment)));
  for (const { pid, running } of gateway.routers) {
    const sample = running ? await sampleProcess({ router: "router", pid }, moment) : null;
    if (sample !== null) samples.processes.push(sample);
  }
  await client.end();
}

async function settle(): Promise<void> {
  await gateway.until("the end of all work", async () => {
    const [row] = await gateway.query<{ left: string }>(
      `SELECT (SELECT count(*) FROM jobs WHERE state = 'active') + (SELECT count(*) FROM outbox_ready)
         + (SELECT count(*) FROM attempts WHERE state IN ('sending', 'batched', 'in_doubt'))
         + (SELECT count(*) FROM batches WHERE state NOT IN ('done', 'failed')) AS left`,
    );
    const read = await gateway.position();
    const [committed] = await gateway.committedOffsets();
    return row?.left === "0" && read === published.length && committed === read;
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-chaos-evidence-"));
  gateway = await openBatchGateway("evidence", {
    latencyMs: 1500,
    faults: [
      {
        match: { operation: "openai.chat", nth: 10 },
        fault: {
          kind: "status",
          status: 400,
          body: { error: { message: "no", type: "invalid_request_error", param: null, code: null } },
        },
      },
    ],
    postgres: { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 3000 } },
    sections: { budgets: [{ tenant: "acme", limitUsd: LIMIT_USD }] },
  });
  const client = await gateway.connection();
  await installHistory(client);
  await client.end();
  const startedAtMs = Date.now();
  const first = await gateway.startRouter("router-1", { OPENAI_API_KEY: KEY });
  await look("baseline");

  for (let n = 0; n < 6; n += 1)
    await publish({ kind: "job", jobId: `call ${String(n)}`, prompt: `call ${String(n)}`, mode: "direct" });
  for (let n = 0; n < 8; n += 1)
    await publish({ kind: "job", jobId: `line ${String(n)}`, prompt: `line ${String(n)}` });
  await publish({ kind: "job", tenant: "zenith", jobId: "call 0", prompt: "call 0", mode: "direct" });
  await publish({ kind: "job", jobId: "joined", prompt: "call 1", mode: "direct" });
  await publish({ kind: "malformed", jobId: null, bytes: Buffer.from('{"jobId":'), code: "BAD_JSON" });
  await publish({ kind: "refused", jobId: "strange", code: "UNKNOWN_MODEL" });
  await gateway.until("calls in the air", async () => (await gateway.simulator.openCalls()) >= 7);
  await look("running");
  const kill: Fault = {
    kind: "router_kill",
    atMs: Date.now(),
    untilMs: Date.now() + 1,
    target: "router-1",
    pid: first.pid,
    signal: "SIGKILL",
    point: null,
    callsInAir: await gateway.simulator.openCalls(),
    workInFlight: true,
    detail: null,
  };
  await first.end("SIGKILL");
  await gateway.startRouter("router-2", { OPENAI_API_KEY: KEY });
  const faultsEndedAtMs = Date.now();
  await publish({ kind: "duplicate", jobId: "call 2", prompt: "call 2", mode: "direct" });
  await publish({ kind: "conflict", jobId: "call 2", prompt: "something else", mode: "direct" });
  await publish({ kind: "job", jobId: "stopped", prompt: "stopped" });
  await publish({ kind: "cancel", jobId: "stopped", bytes: null });
  await look("running");
  await settle();
  const replayed = await gateway.cli("dlq", "replay", "--where", "code = PROVIDER_REFUSED", "--yes");
  expect(replayed.exitCode).toBe(0);
  await settle();
  const settledAtMs = Date.now();

  const billFile = join(folder, "bill.jsonl");
  await writeFile(billFile, (await gateway.simulator.bill()).map((row) => `${JSON.stringify(row)}\n`).join(""));
  await gateway.cliJson("costs", "reconcile", "--bill", billFile);
  await settle();
  await look("settled");

  const names = gateway.topics.names;
  const run: Evidence["run"] = {
    seed: 1,
    doubtPolicy: "retry",
    startedAtMs,
    faultsEndedAtMs,
    settledAtMs,
    reconciled: true,
    callMsMax: 30_000,
    limits: {
      settleMs: 60_000,
      frozenPartitionMs: 60_000,
      rssBytes: 512 * 1024 * 1024,
      aboveBaseline: 1,
      replays: 3,
      suspects: 0,
      cacheMaxAgeMs: 86_400_000,
      clockSkewMs: 100,
    },
    budgets: [{ level: LEVEL, limitNanoUsd: 500_000_000n }],
    canaries: [
      { name: "acme's prompts", text: CANARIES.acme, kind: "tenant", tenant: "acme" },
      { name: "zenith's prompts", text: CANARIES.zenith, kind: "tenant", tenant: "zenith" },
      { name: "the account's key", text: KEY, kind: "secret", tenant: null },
    ],
  };
  const reader = await gateway.connection();
  const last = gateway.routers.at(-1);
  evidence = {
    run,
    published,
    topics: await readTopicEvidence({
      brokers: servers().kafkaBrokers.split(","),
      topics: {
        jobs: [names.jobs],
        results: [names.results],
        costs: names.costs,
        deadLetters: [names.deadLetters],
        events: names.events,
      },
      timeoutMs: 30_000,
    }),
    ledger: await readLedger(reader),
    bill: await readBill(billFile),
    faults: [kill],
    samples,
    sinks: [
      ...(await searchLedger(reader, run.canaries)),
      searchText(
        "log",
        "router-2",
        gateway.routers.flatMap((router) => router.log().map((line) => JSON.stringify(line))).join("\n"),
        run.canaries,
      ),
      searchText("metrics", "router-2", (await last?.metrics()) ?? "", run.canaries),
      searchEntries("redis", "redis", [["none", Buffer.from("this gateway has no Redis")]], run.canaries),
    ],
  };
  await reader.end();
}, 180_000);

afterAll(async () => {
  await gateway.close();
  await rm(folder, { recursive: true });
});

test("of a run in which everything holds no checker objects", () => {
  const { violations, figures } = checkAll(evidence);
  const histories = violations.flatMap(({ tenant, jobId }) =>
    tenant === null || jobId === null ? [] : [tellHistory(evidence, tenant, jobId)],
  );
  expect([
    ...violations.map((one) => `${one.checker} ${one.rule} ${one.jobId ?? ""}: ${one.detail}`),
    ...histories.slice(0, 2),
  ]).toEqual([]);
  expect(figures).toMatchObject({
    lost: 0,
    answeredTwice: 0,
    submittedTwice: 0,
    ledgerEqualsBill: true,
    budgetOverrunNanoUsd: 0n,
    resent: 1,
  });
  expect(figures.inDoubt).toBeLessThanOrEqual(figures.doubtBound);
});

test("the evidence has what the run was made of", () => {
  const { ledger, topics, bill } = evidence;
  expect(topics.inputs).toHaveLength(published.length);
  expect(topics.unreadable).toEqual([]);
  expect(ledger.jobs.filter(({ generation }) => generation === 0)).toHaveLength(17);
  expect(ledger.jobs.filter(({ generation }) => generation === 1)).toHaveLength(1);
  expect(new Set(ledger.jobs.map(({ state }) => state))).toEqual(new Set(["succeeded", "failed", "cancelled"]));
  expect(ledger.batches.length).toBeGreaterThan(0);
  expect(bill.some(({ mode, batch, line }) => mode === "batch" && batch !== null && line !== null)).toBe(true);
  expect(topics.deadLetters.map(({ code }) => code).sort()).toEqual([
    "BAD_JSON",
    "ID_CONFLICT",
    "PROVIDER_REFUSED",
    "UNKNOWN_MODEL",
  ]);
  // Operators' commands have sessions of their own.
  expect(ledger.sessions.map(({ died }) => died).slice(0, 2)).toEqual([true, false]);
  // Each ended once; the one that was cancelled may have been so from the start, when one group held both records.
  const ends = ledger.history?.filter(({ table, to }) => table === "jobs" && to !== "active") ?? [];
  expect(ends.map(({ no }) => no).sort()).toEqual(ledger.jobs.map(({ no }) => no).sort());
  expect(samples.budgets.some(({ reservations }) => reservations > 0)).toBe(true);
  expect(
    evidence.sinks
      .find(({ name }) => name === "executions")
      ?.hits.map(({ canary }) => canary)
      .sort(),
  ).toEqual(["acme's prompts", "zenith's prompts"]);
});

test("a fault planted into what was read is seen", () => {
  const result = evidence.topics.results.find(({ generation }) => generation === 0);
  if (result === undefined) throw new Error("expected a result");
  const other = { ...result, record: { ...result.record, value: Buffer.from("{}") } };
  const topics = { ...evidence.topics, results: [...evidence.topics.results, other] };
  expect(checkAll({ ...evidence, topics }).figures.answeredTwice).toBe(1);
  expect(checkAll({ ...evidence, bill: evidence.bill.slice(1) }).figures.ledgerEqualsBill).toBe(false);
});

test("a Redis is searched by what its keys hold, whatever their type", async () => {
  const redis = new Redis(servers().redisUrl);
  const own = `evidence-${String(process.pid)}`;
  const text = `so ${CANARIES.acme} it is, ${"and on ".repeat(50)}`;
  try {
    await redis.set(`${own}:string`, text);
    await redis.hset(`${own}:hash`, "field", text);
    await redis.rpush(`${own}:list`, "none", text);
    await redis.sadd(`${own}:set`, text);
    await redis.zadd(`${own}:zset`, 1, text);
    await redis.xadd(`${own}:stream`, "*", "field", text);
    await redis.set(`${own}:none`, "nothing");
    const { hits, bytes } = await searchRedis(redis, evidence.run.canaries);
    expect(bytes).toBeGreaterThan(6 * text.length);
    const found = hits
      .filter(({ where }) => where.includes(own))
      .map(({ where }) => where.slice(where.lastIndexOf(":") + 1));
    expect(found.sort()).toEqual(["hash", "list", "set", "stream", "string", "zset"]);
  } finally {
    await redis.del(["string", "hash", "list", "set", "zset", "stream", "none"].map((type) => `${own}:${type}`));
    redis.disconnect();
  }
});
