import { setTimeout as sleep } from "node:timers/promises";
import { checkCosts } from "../../../src/demo/reader/check-costs.js";
import { parseBill } from "../../../src/demo/reader/bill-row.js";
import { jobKey } from "../../../src/demo/reader/check-results.js";
import { parseResult, type ResultRecord } from "../../../src/demo/reader/result-record.js";
import type { TopicRecord } from "../../../src/demo/reader/topic-record.js";
import { Gateway } from "../gateway.js";
import { answerDigests, chatJob, digestOf, resultIn, type FoundRecord } from "../gateway-records.js";

/**
 * What the simulation can't show, since its ledger and its providers are not the product's: a short run of the product's own processes on
 * real servers. Two routers; one is stopped with its calls out until its session is dead and the other has made the calls again, then it goes
 * on. One call is refused, one of two jobs that share a call is cancelled, two tenants ask the same, a record comes twice. What is found
 * bears the names of the simulation's checkers where they promise the same.
 */
export interface DayFinding {
  readonly checker: DayChecker;
  readonly message: string;
}

/** In the order in which they look. */
export const DAY_CHECKERS = [
  "no_job_lost",
  "one_result",
  "ends_as_promised",
  "right_answer",
  "tenants_apart",
  "ledger_equals_bill",
  "secrets_stay_in",
] as const;
export type DayChecker = (typeof DAY_CHECKERS)[number];

interface DayJob {
  readonly id: string;
  readonly tenant: "acme" | "zenith";
  readonly prompt: string;
  readonly ends: "succeeded" | "cancelled";
}

const API_KEY = "sk-canary-4c1f9e27d0b8";
const ALONE = 10;
const JOBS: readonly DayJob[] = [
  ...Array.from({ length: ALONE }, (_unused, index): DayJob => ({
    id: `alone ${String(index)}`,
    tenant: "acme",
    prompt: `what is ${String(index)} about?`,
    ends: "succeeded",
  })),
  { id: "twin to cancel", tenant: "acme", prompt: "which of us stays?", ends: "cancelled" },
  { id: "twin that stays", tenant: "acme", prompt: "which of us stays?", ends: "succeeded" },
  { id: "asks the same", tenant: "zenith", prompt: "what is 0 about?", ends: "succeeded" },
];
/** Long enough for the stop and the cancel to meet the calls; then for the calls that are made again to be out as the first router wakes. */
const FIRST_CALLS_MS = 6000;
const SECOND_CALLS_MS = 8000;
const SESSION = { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 4000 };
const STEP_MS = 40_000;
const QUIET_MS = 1500;

/** @param cli the main script of the build that the routers run. @throws when the day can't be played at all. */
export async function hardDay(cli: string): Promise<readonly DayFinding[]> {
  const gateway = await Gateway.open({
    name: "day",
    cli,
    latencyMs: FIRST_CALLS_MS,
    env: { OPENAI_API_KEY: API_KEY },
    config: {
      callTimeoutMs: 120_000,
      inDoubt: { policy: "retry", graceMs: 1000 },
      postgres: { session: SESSION },
    },
  });
  try {
    await play(gateway);
    return await judge(gateway);
  } finally {
    await gateway.close();
  }
}

async function play(gateway: Gateway): Promise<void> {
  // For the router that is stopped then, a refusal means to fail the job: a decision that is no longer its own when it wakes.
  await gateway.simulator.setFaults([{ match: { count: 1 }, fault: { kind: "status", status: 400 } }]);
  const first = await gateway.startRouter("first");
  await gateway.topics.publish(JOBS.map(({ id, prompt, tenant }) => ({ value: chatJob(id, prompt, { tenant }) })));
  await gateway.until("all jobs in the ledger", async () => (await gateway.position()) >= JOBS.length);
  const headers = { "llm-action": "cancel", "llm-job-id": "twin to cancel", "llm-tenant": "acme" };
  await gateway.publish({ value: null, headers });
  await gateway.publish({ value: chatJob("alone 1", "what is 1 about?") });
  await seen(gateway, "the cancelled job's result", () => gateway.resultsOf("twin to cancel").length > 0);
  first.signal("SIGSTOP");
  await gateway.simulator.setLatency(SECOND_CALLS_MS);
  const [held] = await gateway.query<{ no: string }>("SELECT max(session_no) AS no FROM routers");
  await gateway.startRouter("second");
  await seen(gateway, "calls that are made again", async () => {
    const [again] = await gateway.query<{ calls: string }>(
      "SELECT count(*) AS calls FROM attempts WHERE session_no > $1 AND state = 'sending'",
      [held?.no ?? 0],
    );
    return Number(again?.calls) >= ALONE - 1;
  });
  first.signal("SIGCONT");
  await seen(gateway, "an end of each job", () =>
    JOBS.every(({ id, tenant }) => gateway.resultsOf(id, tenant).length > 0),
  );
  await seen(gateway, "the end of all calls", async () => {
    const [open] = await gateway.query<{ left: string }>(
      "SELECT (SELECT count(*) FROM attempts WHERE state IN ('sending', 'in_doubt')) + (SELECT count(*) FROM outbox_ready) AS left",
    );
    return Number(open?.left) === 0;
  });
  await quiet(gateway);
}

/** Waits at most so long: what does not come is for the checkers to name. */
async function seen(gateway: Gateway, what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  await gateway.until(what, look, STEP_MS).catch(() => {
    process.stderr.write(`hard day: ${what} did not come\n`);
  });
}

/** Until the topics have brought nothing new for a while. */
async function quiet({ topics }: Gateway): Promise<void> {
  const count = (): number => topics.results.length + topics.costs.length;
  for (let before = -1; before !== count();) {
    before = count();
    // Serial: a look after a pause.
    await sleep(QUIET_MS);
  }
}

async function judge(gateway: Gateway): Promise<readonly DayFinding[]> {
  const findings: DayFinding[] = [];
  const report = (checker: DayChecker, message: string): void => {
    findings.push({ checker, message });
  };
  for (const job of JOBS) checkJob(gateway.resultsOf(job.id, job.tenant), job, report);
  checkMoney(gateway.topics.costs, gateway.topics.results, await gateway.simulator.billText(), report);
  await checkSecrets(gateway, report);
  return findings.sort((one, other) => DAY_CHECKERS.indexOf(one.checker) - DAY_CHECKERS.indexOf(other.checker));
}

/** A doubt that turned out to be a refused call: its charge was corrected to nothing, and no provider bills that. */
const BOOKED_NOTHING = ": booked 0,";

type Report = (checker: DayChecker, message: string) => void;

function checkJob(records: readonly FoundRecord[], job: DayJob, report: Report): void {
  const [first, ...others] = records;
  if (first === undefined) {
    report("no_job_lost", `${job.id} has no result`);
    return;
  }
  if (others.some(({ value }) => value?.equals(first.value ?? Buffer.alloc(0)) !== true))
    report("one_result", `${job.id} has two results that differ`);
  const result = resultIn(first);
  if (result.status !== job.ends)
    report("ends_as_promised", `${job.id} ended ${result.status}, ${result.error?.message ?? "without a reason"}`);
  if (result.status !== "succeeded") return;
  if (answerDigests(result).prompt !== digestOf(job.prompt))
    report("right_answer", `${job.id} has the answer to another prompt`);
  if (job.tenant === "zenith" && result.served !== "call")
    report("tenants_apart", `${job.id} of ${job.tenant} was served by another tenant's call: ${String(result.served)}`);
}

function checkMoney(
  costs: readonly FoundRecord[],
  results: readonly FoundRecord[],
  billText: string,
  report: Report,
): void {
  const { rows, findings } = parseBill(billText);
  const answered = results
    .map(toTopicRecord)
    .map(parseResult)
    .filter((one): one is ResultRecord => one !== null);
  const byJob = new Map(answered.map((result) => [jobKey(result.tenant, result.jobId), result]));
  const money = checkCosts(costs.map(toTopicRecord), rows, byJob, null);
  for (const { kind, detail } of [...findings, ...money.findings])
    if (!(kind === "charge_without_bill" && detail.includes(BOOKED_NOTHING)))
      report("ledger_equals_bill", `${kind}: ${detail}`);
}

function toTopicRecord({ headers, offset, ...record }: FoundRecord): TopicRecord {
  const last = [...headers].map(([name, values]) => [name, values.at(-1) ?? Buffer.alloc(0)] as const);
  return { ...record, offset: String(offset), headers: new Map(last), timestampMs: null };
}

/** The provider's key is in no log, topic or table. */
async function checkSecrets(gateway: Gateway, report: Report): Promise<void> {
  for (const [index, router] of gateway.routers.entries())
    if (JSON.stringify(router.log()).includes(API_KEY))
      report("secrets_stay_in", `the key is in the log of router ${String(index + 1)}`);
  const { results, costs, events, deadLetters } = gateway.topics;
  for (const { topic, offset, value, headers } of [...results, ...costs, ...events, ...deadLetters]) {
    const bytes = [value, ...[...headers.values()].flat()];
    if (bytes.some((one) => one?.includes(API_KEY)))
      report("secrets_stay_in", `the key is in ${topic}/${String(offset)}`);
  }
  const tables = await gateway.query<{ name: string }>(
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
  );
  const hex = Buffer.from(API_KEY).toString("hex");
  for (const { name } of tables) {
    // Serial: one connection.
    const rows = await gateway.query(`SELECT 1 FROM "${name}" AS r WHERE r::text LIKE ANY ($1) LIMIT 1`, [
      [`%${API_KEY}%`, `%${hex}%`],
    ]);
    if (rows.length > 0) report("secrets_stay_in", `the key is in table ${name}`);
  }
}
