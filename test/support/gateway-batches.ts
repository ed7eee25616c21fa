import { Gateway, type GatewayOptions } from "./gateway.js";
import { answerDigests, chatJob, digestOf, resultIn, type ResultDocument } from "./gateway-records.js";

/** A day of the provider passes in less than nine seconds. */
const TIME_SCALE = 10_000;
const QUICK_TIMES = { validatingMs: 1000, turnaroundMs: 5000, jitterMs: 0, finalizingMs: 1000, cancellingMs: 1000 };
const BATCHING = { callTimeoutMs: 1500, lookEveryMs: 100, pollMinMs: 150, pollMaxMs: 1000, turnaroundPriorMs: 60_000 };
const BATCH = { linesMax: 10, flushAfterMs: 600 };

/** Kinds of providers: where the simulator speaks them, and a model. The last has no batch API. */
const KINDS = {
  openai: { path: "/v1", model: "gpt-4.1-mini" },
  anthropic: { path: "", model: "claude-haiku-4-5" },
  gemini: { path: "/v1beta", model: "gemini-2.5-flash" },
  "openai-compatible": { path: "/vllm/v1", model: "llama-3.1-8b" },
} as const;
export type BatchKind = keyof typeof KINDS;

export interface BatchGatewayOptions {
  readonly kind?: BatchKind;
  readonly faults?: readonly unknown[];
  /** Merged into the account's section `batch`. */
  readonly batch?: Readonly<Record<string, unknown>>;
  readonly batching?: Readonly<Record<string, unknown>>;
  /** Merged into the alias of the jobs. */
  readonly alias?: Readonly<Record<string, unknown>>;
  /** Of the simulated provider, in its own milliseconds. */
  readonly times?: Readonly<Record<string, unknown>>;
  readonly createGraceMs?: number;
  /** Merged into the account. */
  readonly account?: Readonly<Record<string, unknown>>;
  readonly latencyMs?: number;
  /** Further flags of the simulator. */
  readonly simulatorArgs?: readonly string[];
  readonly postgres?: Readonly<Record<string, unknown>>;
  /** Further sections of the config. */
  readonly sections?: Readonly<Record<string, unknown>>;
  readonly routersDatabaseUrl?: GatewayOptions["routersDatabaseUrl"];
}

/** What tests of batches look at beyond the usual. */
export type BatchResult = ResultDocument & {
  readonly mode: string;
  readonly batchId: string | null;
  readonly attempts: readonly { readonly outcome: string; readonly mode: string }[];
};

export interface Money {
  readonly billed: bigint;
  readonly booked: bigint;
  /** Bounds of what is booked as unknown. */
  readonly open: bigint;
}

/** A gateway whose only account has batches at a simulated provider with a compressed clock. No router runs yet. */
export async function openBatchGateway(name: string, options: BatchGatewayOptions = {}): Promise<Gateway> {
  const { path, model } = KINDS[options.kind ?? "openai"];
  const account = (simulatorUrl: string): unknown => ({
    kind: options.kind ?? "openai",
    baseUrl: `${simulatorUrl}${path}`,
    apiKey: "${OPENAI_API_KEY}",
    batch: { ...BATCH, ...options.batch },
    inDoubt: { policy: "retry", graceMs: 1000, createGraceMs: options.createGraceMs ?? 2000 },
    ...options.account,
  });
  const gateway = await Gateway.open({
    name,
    latencyMs: options.latencyMs ?? 0,
    simulatorArgs: ["--time-scale", String(TIME_SCALE), ...(options.simulatorArgs ?? [])],
    ...(options.routersDatabaseUrl === undefined ? {} : { routersDatabaseUrl: options.routersDatabaseUrl }),
    config: {
      postgres: options.postgres ?? {},
      sections: { batching: { ...BATCHING, ...options.batching }, ...options.sections },
      providers: (simulatorUrl) => ({ main: account(simulatorUrl) }),
      candidates: [{ provider: "main", model }],
      alias: options.alias ?? {},
    },
  });
  await gateway.simulator.setBatchTimes({ ...QUICK_TIMES, ...options.times });
  await gateway.simulator.setFaults(options.faults ?? []);
  return gateway;
}

export function idsOf(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_unused, index) => `${prefix} ${String(index)}`);
}

/** Jobs whose prompt is their id. */
export async function publishJobs(
  gateway: Gateway,
  jobIds: readonly string[],
  fields: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await gateway.topics.publish(jobIds.map((id) => ({ value: chatJob(id, id, fields) })));
}

export async function resultsFor(gateway: Gateway, jobIds: readonly string[]): Promise<readonly BatchResult[]> {
  const results: BatchResult[] = [];
  // Serial: each is there or is waited for.
  for (const id of jobIds) results.push(resultIn(await gateway.result(id)) as BatchResult);
  return results;
}

/** Waits until each job has a result. @throws Error when one has another job's answer, or two. */
export async function ownAnswers(gateway: Gateway, jobIds: readonly string[]): Promise<readonly BatchResult[]> {
  const results = await answersOf(gateway, jobIds);
  for (const id of jobIds) {
    const found = gateway.resultsOf(id).length;
    if (found !== 1) throw new Error(`expected one result of ${id}, found ${String(found)}`);
  }
  return results;
}

/** The same of a router that may have been killed between a record's acknowledgement and its deletion: the record comes again, byte for byte. */
export async function ownAnswersBehindKill(gateway: Gateway, jobIds: readonly string[]): Promise<void> {
  await answersOf(gateway, jobIds);
  for (const id of jobIds) {
    const found = new Set(gateway.resultsOf(id).map(({ value }) => value?.toString("base64")));
    if (found.size !== 1) throw new Error(`expected one result of ${id}, found ${String(found.size)} that differ`);
  }
}

async function answersOf(gateway: Gateway, jobIds: readonly string[]): Promise<readonly BatchResult[]> {
  const results = await resultsFor(gateway, jobIds);
  results.forEach((result, index) => {
    const { prompt } = answerDigests(result);
    if (prompt !== digestOf(jobIds[index] ?? "")) throw new Error(`another job's answer: ${JSON.stringify(result)}`);
  });
  return results;
}

/** What the provider billed, and what the cost records say, once there is no attempt without an outcome. */
export async function moneyOf(gateway: Gateway): Promise<Money> {
  await gateway.until(
    "an outcome of each attempt",
    async () => (await gateway.query("SELECT 1 FROM attempts WHERE state IN ('sending', 'batched')")).length === 0,
  );
  const rows = await gateway.query<{ nano_usd: string | null; max_nano: string }>(
    "SELECT nano_usd, max_nano FROM costs WHERE attempt_no IS NOT NULL",
  );
  const sum = (values: readonly string[]): bigint => values.reduce((total, value) => total + BigInt(value), 0n);
  return {
    billed: await gateway.simulator.billedNanoUsd(),
    booked: sum(rows.flatMap(({ nano_usd }) => nano_usd ?? [])),
    open: sum(rows.filter(({ nano_usd }) => nano_usd === null).map(({ max_nano }) => max_nano)),
  };
}

/** @throws Error when an attempt is billed twice: a line was in two batches of which both ran. */
export async function noLineTwice(gateway: Gateway): Promise<void> {
  const seen = new Set<string | null>();
  for (const { attempt } of await gateway.simulator.bill()) {
    if (seen.has(attempt)) throw new Error(`attempt ${String(attempt)} is billed twice`);
    seen.add(attempt);
  }
}

/** @throws Error when the cost records are not the bill to the nano-dollar, leave something open, or a line is billed twice. */
export async function ledgerEqualsBill(gateway: Gateway): Promise<void> {
  const { billed, booked, open } = await moneyOf(gateway);
  if (booked !== billed || open !== 0n)
    throw new Error(
      `expected ${String(billed)} booked as billed and 0 open, found ${String(booked)} and ${String(open)}`,
    );
  await noLineTwice(gateway);
}

/** How often a fault struck. */
export async function struck(gateway: Gateway, kind: string): Promise<number> {
  return (await gateway.simulator.faultsFired())[kind] ?? 0;
}

export function eventKinds(gateway: Gateway): ReadonlySet<string> {
  return new Set(gateway.topics.events.map(({ value }) => (JSON.parse(String(value)) as { kind: string }).kind)); // contract.md says what an event is
}
