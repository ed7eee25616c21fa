import type { SessionSettings } from "../../../src/app/session/session-parts.js";
import type { Budget } from "../../../src/domain/budget/budget.js";
import type { IncomingRecord } from "../../../src/domain/job/job.js";
import {
  ACCOUNTS,
  AT_LENGTH,
  framedJobValue,
  jobValue,
  POISON,
  recordAt,
  SIDE_TOPIC,
  START_MS,
  type JobWish,
} from "./fixture.js";
import { accountBudget, tenantBudget } from "../budgets.js";
import { SeededRandom } from "./seeded-random.js";

/** What one seed publishes and breaks. */
export interface Scenario {
  readonly seed: number;
  /** What happens follows from it, with the rest of the scenario. */
  readonly worldSeed: number;
  readonly routers: number;
  readonly partitions: number;
  readonly doubtPolicy: "retry" | "fail";
  readonly publications: readonly Publication[];
  /** Events of the world at which a router is killed. */
  readonly kills: readonly number[];
  /** Times at which a router is stopped for a while, longer than its session lives in most cases. */
  readonly freezes: readonly { readonly atMs: number; readonly forMs: number }[];
  /** Times at which a router is asked to end and another starts. */
  readonly terms: readonly number[];
  /** From here on nothing is broken any more. */
  readonly calmMs: number;
  /** How unreliable things are until then: probabilities. */
  readonly cutLedger: number;
  readonly providerTrouble: number;
  readonly brokerTrouble: number;
  /** How often a consumer believes to be further than the ledger, as after a failover that lost the ledger's tail. */
  readonly consumerAhead: number;
  /** Until when the broker lacks the side topic. */
  readonly sideTopicMissingUntilMs: number;
  /** Back-pressure; far away in some seeds. */
  readonly marks: SessionSettings["pending"];
  /** A router's wall clock is set wrong, and set right again. */
  readonly clockJumps: readonly { readonly atMs: number; readonly byMs: number; readonly forMs: number }[];
  /** Times at which an operator begins to replay all dead letters; two may do it at once. */
  readonly replays: readonly number[];
  /** How often the schema registry can't be asked. */
  readonly registryTrouble: number;
  /** When the jobs topic is deleted and made anew. */
  readonly remadeAtMs: number | null;
  /** From when on the broker deletes what nobody has read yet, once, as soon as there is something. */
  readonly lossAtMs: number | null;
  /** How often a router's journal fails to keep an answer, or to lose it once it is stored; 1: it has none. */
  readonly journalLoss: number;
  /** Null: no account has batches. */
  readonly batches: BatchScenario | null;
  /** Hard limits of money; none in most seeds. */
  readonly budgets: readonly Budget[];
  /** Times in which something is away for everybody; the ledger rolls back what was open as it goes. */
  readonly storms: readonly Storm[];
}

export interface Storm {
  readonly of: "ledger" | "broker" | "providers";
  readonly atMs: number;
  readonly forMs: number;
}

interface BatchScenario {
  /** How unreliable the batch APIs are until it is calm. */
  readonly trouble: number;
  /** The account that is tried first. */
  readonly first: (typeof ACCOUNTS)[number];
  /** Accounts whose provider has no batch API: their lines are called in groups. */
  readonly grouped: readonly (typeof ACCOUNTS)[number][];
  /** Times at which an operator asks for the end of a group that is open then. */
  readonly cancels: readonly number[];
  /** Whether the alias allows rescues. */
  readonly rescues: boolean;
  /** Whether creates may arrive long after they were given up. */
  readonly orphans: boolean;
}

/** Kinds whose scenarios are drawn from the seed. */
type DrawnKind = "direct" | "mixed" | "grouped";

/**
 * - `mixed`: accounts have batches, and jobs ask for them, for calls of their own, or for what is cheaper
 * - `grouped`: the same, and one account or both have no batch API
 * - `stormy`: mixed, and ledger, brokers or providers are away for all at once
 * - `swept`: of so many seeds each runs the same scenario and kills a router at another event: at each of them, from the first to the last
 */
export const SCENARIO_KINDS = ["direct", "mixed", "grouped", "stormy", "swept"] as const;
export type ScenarioKind = (typeof SCENARIO_KINDS)[number];

/** Longest value that the simulated broker takes. */
export const VALUE_BYTES_MAX = 8000;
const LONG_PROMPT = "please ".repeat(1500);

export interface Publication {
  readonly atMs: number;
  /** `deadly`: whoever reads it dies. */
  readonly kind: "job" | "bad" | "cancel" | "deadly";
  readonly wish: JobWish | null;
  /** Its offset is the log's when it was published; what is here before that is a guess. */
  record: IncomingRecord;
}

const BUSY_MS = 12_000;
const CALM_AFTER_MS = 60_000;

export function scenarioOf(seed: number, kind: ScenarioKind = "direct"): Scenario {
  switch (kind) {
    case "swept":
      return sweptScenario(seed);
    case "stormy":
      return { ...drawnScenario(seed, "mixed"), storms: stormsOf(new SeededRandom(seed * 86_028_121 + 17)) };
    case "direct":
    case "mixed":
    case "grouped":
      return drawnScenario(seed, kind);
  }
}

/** As many seeds, as many events of one scenario at which a router is killed. */
const SWEEP = 1500;
/** With batches as much happens in four times the events. */
const MIXED_STRIDE = 4;

/** One kill, and nothing else that makes sessions end; what providers do stays as it was drawn. */
function sweptScenario(seed: number): Scenario {
  const base = Math.floor(seed / SWEEP);
  const kind = base % 2 === 0 ? "direct" : "mixed";
  const stride = kind === "direct" ? 1 : MIXED_STRIDE;
  const drawn = drawnScenario(base, kind);
  return {
    ...drawn,
    seed,
    worldSeed: base,
    routers: 2,
    publications: drawn.publications.filter((publication) => publication.kind !== "deadly"),
    kills: [1 + (seed % SWEEP) * stride],
    freezes: [],
    terms: [],
    clockJumps: [],
    cutLedger: 0,
    brokerTrouble: 0,
    consumerAhead: 0,
    registryTrouble: 0,
    remadeAtMs: null,
    lossAtMs: null,
  };
}

/** Shorter than a session lives without a beat: nobody is declared dead for it. */
const STORM_MS_MAX = 10_000;

function stormsOf(random: SeededRandom): readonly Storm[] {
  return times(random.between(1, 3), () => ({
    of: random.pick(["ledger", "ledger", "broker", "providers"] as const),
    atMs: START_MS + random.between(500, 25_000),
    forMs: random.between(1000, STORM_MS_MAX),
  }));
}

function drawnScenario(seed: number, kind: DrawnKind): Scenario {
  const random = new SeededRandom(seed * 7919 + 13);
  const partitions = random.between(1, 3);
  const gentle = random.chance(0.1);
  const hurried = seed % 5 < 2;
  const faults = faultsOf(new SeededRandom(seed * 104_729 + 7), gentle);
  const { deadly, ...ofLog } = logFaultsOf(new SeededRandom(seed * 15_485_863 + 29), gentle, partitions);
  return {
    ...faults,
    ...ofLog,
    seed,
    worldSeed: seed,
    storms: [],
    routers: random.between(1, 3),
    partitions,
    doubtPolicy: random.chance(0.7) ? "retry" : "fail",
    budgets: budgetsOf(seed, kind),
    ...(kind === "direct" ? { batches: null } : ofMixed(seed, kind, gentle, faults)),
    publications: [
      ...inBursts(publicationsOf(random, partitions, gentle, changeOf(seed, kind, hurried)), hasBudgets(seed, kind)),
      ...deadly,
    ],
    kills: gentle ? [] : times(random.between(0, 4), () => random.between(60, 3500)).sort((a, b) => a - b),
    freezes: gentle
      ? []
      : times(random.between(0, 3), () => ({
          atMs: START_MS + random.between(500, 14_000),
          forMs: random.pick([
            3000,
            random.between(6500, 13_000),
            random.between(18_500, 27_000),
            random.between(18_500, 27_000),
          ]),
        })),
    terms: random.chance(0.3) ? [START_MS + random.between(1000, 30_000)] : [],
    calmMs: START_MS + CALM_AFTER_MS,
    cutLedger: gentle ? 0 : random.pick([0, 0.002, 0.01]),
    providerTrouble: gentle ? 0 : random.pick(hurried ? [0.6] : [0.1, 0.3, 0.6]),
    brokerTrouble: gentle ? 0 : random.pick([0, 0.1, 0.3]),
    consumerAhead: gentle ? 0 : random.pick([0, 0.2]),
  };
}

/**
 * In every tenth seed both tenants have little money: for one usual call at a time, for a few, or for a long one; half of that is enough in a
 * batch. A call that cost something leaves less.
 */
function budgetsOf(seed: number, kind: DrawnKind): readonly Budget[] {
  if (!hasBudgets(seed, kind)) return [];
  const random = new SeededRandom(seed * 67_867_967 + 11);
  const limits = [1_200_000n, 1_300_000n, 2_600_000n, 13_000_000n] as const;
  const tenants = (["catalogue", "shop"] as const).map((tenant) =>
    tenantBudget(tenant, random.pick(limits), { window: random.pick(["total", "total", "month"] as const) }),
  );
  return [...tenants, ...narrowerBudgets(random)];
}

/** Below a tenant's and across them: a department's, a soft one, and what an account may spend. */
function narrowerBudgets(random: SeededRandom): readonly Budget[] {
  const limits = [1_200_000n, 2_600_000n] as const;
  const soft = { application: "kyc", kind: "soft", window: "hour" } as const;
  return [
    tenantBudget("shop", random.pick(limits), { department: "risk", window: "day", timeZone: "Europe/Berlin" }),
    tenantBudget("shop", 1n, soft),
    ...(random.chance(0.5) ? [accountBudget(random.pick(ACCOUNTS), 5_200_000n, 4_940_000n)] : []),
  ];
}

/** The same for all jobs with the prompt, so that it does not matter which of them pays. */
function labelled(wish: JobWish): JobWish {
  const kind = wish.prompt.length % 3;
  return kind === 0 ? wish : { ...wish, labels: kind === 1 ? { department: "risk" } : RISK_KYC };
}

const RISK_KYC = { department: "risk", application: "kyc" };

const BURST_EVERY_MS = 3000;

/** All that come within some seconds come together, so that several routers want the same money at once. */
function inBursts(publications: readonly Publication[], together: boolean): readonly Publication[] {
  if (!together) return publications;
  return publications.map((publication) => {
    const sinceMs = publication.atMs - START_MS;
    return { ...publication, atMs: START_MS + Math.ceil(sinceMs / BURST_EVERY_MS) * BURST_EVERY_MS };
  });
}

/** Others than those that are known for what happens in them. */
function hasBudgets(seed: number, kind: DrawnKind): boolean {
  return seed % 10 === (kind === "direct" ? 7 : 8);
}

function ofMixed(
  seed: number,
  kind: DrawnKind,
  gentle: boolean,
  { clockJumps }: MoreFaults,
): Pick<Scenario, "batches" | "clockJumps"> {
  const random = new SeededRandom(seed * 32_452_843 + 3);
  const [one, other] = ACCOUNTS;
  const ofGroups = [[other], [one], ACCOUNTS][seed % 3] ?? ACCOUNTS;
  const orphans = seed % 7 === 3;
  const trouble = gentle ? 0 : random.pick([0.1, 0.3, 0.6]);
  const first = random.pick(ACCOUNTS);
  return {
    batches: {
      trouble,
      // Nothing fences creates of the other one.
      first: orphans ? other : first,
      rescues: [0, 4].includes(seed % 5),
      orphans,
      grouped: kind === "grouped" ? ofGroups : [],
      cancels: kind === "grouped" && !gentle ? times(3, () => START_MS + random.between(2000, 20_000)) : [],
    },
    // A create is looked for by the time of its intent: clocks that differ by more than the grace allows for are out of the bargain.
    clockJumps: clockJumps.map((jump) => ({ ...jump, byMs: Math.sign(jump.byMs) * 1500 })),
  };
}

/** What the seed's kind makes of a usual wish. */
type Change = (wish: JobWish, index: number) => JobWish;

/** Drawn apart, so that the rest of what a seed publishes stays as it is. */
function changeOf(seed: number, kind: DrawnKind, hurried: boolean): Change {
  if (kind === "direct")
    return (wish, index) => {
      // Money in doubt is never free again here: whoever waits for it in vain has to be done within the run.
      const inTime = hasBudgets(seed, kind) ? { ttlMs: 20_000 + ((index * 7919) % 50_000), ...labelled(wish) } : wish;
      return hurried ? { ...inTime, ...HURRIES[index % HURRIES.length] } : inTime;
    };
  const random = new SeededRandom(seed * 49_979_687 + 5);
  return (wish) => {
    const { prompt } = wish;
    return {
      ...(hasBudgets(seed, kind) ? labelled(wish) : wish),
      prompt: random.chance(0.05) ? `${prompt} ${POISON}` : prompt,
      ...(random.chance(0.3) ? { mode: random.pick(["batch", "batch", "direct"] as const) } : {}),
      // A batch is counted on within something over a minute. Whoever waits for one in vain has to be done within the run.
      ...(wish.ttlMs === undefined ? { ttlMs: random.between(66_000, 110_000) } : {}),
    };
  };
}

type MoreFaults = Pick<
  Scenario,
  "sideTopicMissingUntilMs" | "marks" | "clockJumps" | "replays" | "registryTrouble" | "journalLoss"
>;

function faultsOf(random: SeededRandom, gentle: boolean): MoreFaults {
  const far = 100_000;
  if (gentle)
    return {
      sideTopicMissingUntilMs: 0,
      marks: { jobsMax: far, bytesMax: far, outboxRowsMax: far, resumeAt: 0.8 },
      clockJumps: [],
      replays: [],
      registryTrouble: 0,
      journalLoss: 0,
    };
  const faults = {
    sideTopicMissingUntilMs: START_MS + random.pick([0, random.between(3000, 25_000), Infinity]),
    marks: { jobsMax: random.pick([far, 2, 5]), outboxRowsMax: random.pick([far, far, 4]), resumeAt: 0.5 },
    clockJumps: times(random.between(0, 2), () => ({
      atMs: START_MS + random.between(500, 20_000),
      byMs: random.pick([-1, 1]) * random.pick([1500, 12_000, 90_000]),
      forMs: random.between(500, 30_000),
    })),
    replays: times(
      random.pick([0, 1, 2, 3]),
      () => START_MS + random.pick([9000, 20_000, 33_000]) + random.next() * 40,
    ),
    registryTrouble: random.pick([0, 0.1, 0.4]),
  };
  // Drawn last, so that the rest of what a seed breaks stays as it was. A body has about 60 bytes, or ten thousand.
  const bytesMax = random.pick([far, far, 130]);
  return { ...faults, marks: { ...faults.marks, bytesMax }, journalLoss: random.pick([0, 0.3, 1]) };
}

/** What happens to the log itself: a record that kills its readers, a topic made anew, records deleted before anybody read them. */
function logFaultsOf(
  random: SeededRandom,
  gentle: boolean,
  partitions: number,
): Pick<Scenario, "remadeAtMs" | "lossAtMs"> & { readonly deadly: readonly Publication[] } {
  if (gentle) return { remadeAtMs: null, lossAtMs: null, deadly: [] };
  const remadeAtMs = random.chance(0.15) ? START_MS + random.between(2000, 14_000) : null;
  const lossAtMs = random.chance(0.25) ? START_MS + random.between(1000, 8000) : null;
  const atMs = START_MS + random.between(500, BUSY_MS);
  const record = recordAt(random.between(0, partitions - 1), 0, atMs, Buffer.from(DEADLY));
  return { remadeAtMs, lossAtMs, deadly: random.chance(0.15) ? [{ atMs, kind: "deadly", wish: null, record }] : [] };
}

/** The value of a record that kills whoever reads it. */
const DEADLY = '{"jobId":"deadly","tenant":"shop","body":{"model":"sim","messages":[]}}';

export function isDeadly({ value }: IncomingRecord): boolean {
  return value?.toString("latin1") === DEADLY;
}

function times<Item>(count: number, make: () => Item): Item[] {
  return Array.from({ length: count }, make);
}

function publicationsOf(random: SeededRandom, partitions: number, gentle: boolean, change: Change): Publication[] {
  const jobs = random.between(5, 22);
  const prompts = random.between(1, Math.max(1, Math.floor(jobs * 0.7)));
  const next = Array.from({ length: partitions }, () => 0);
  const wishes: JobWish[] = [];
  const plans: { readonly kind: Publication["kind"]; readonly wish: JobWish | null; readonly cancels?: JobWish }[] = [];
  const avro = gentle ? 0 : random.pick([0, 0.2, 1]);
  for (let index = 0; index < jobs; index += 1) {
    const wish = change(wishOf(random, index, prompts, gentle), index);
    wishes.push(wish);
    plans.push({ kind: "job", wish });
    if (random.chance(0.12)) plans.push({ kind: "job", wish: random.pick(wishes) }); // a producer's own retry
    if (random.chance(0.06))
      plans.push({ kind: "job", wish: { ...random.pick(wishes), prompt: `another ${String(index)}` } }); // an id that is taken
    if (random.chance(0.06)) plans.push({ kind: "bad", wish: null });
    if (random.chance(0.08)) plans.push({ kind: "cancel", wish: null, cancels: random.pick(wishes) });
  }
  const at = plans.map(() => START_MS + random.between(0, BUSY_MS)).sort((a, b) => a - b);
  return plans.map((plan, index): Publication => {
    const partition = random.between(0, partitions - 1);
    const offset = next[partition] ?? 0;
    next[partition] = offset + 1;
    const atMs = at[index] ?? START_MS;
    const isFramed = random.chance(avro);
    const value =
      plan.wish !== null
        ? (isFramed ? framedJobValue : jobValue)(plan.wish)
        : plan.kind === "bad"
          ? badValue(isFramed, index)
          : Buffer.from("");
    return { atMs, kind: plan.kind, wish: plan.wish, record: recordAt(partition, offset, atMs, value, plan.cancels) };
  });
}

/** Few requests, asked again and again, many of them by jobs with little time. */
const SAME = { prompt: "question 1", tenant: "shop", cacheRead: false, dedupe: true } as const;
const HURRIES: readonly Partial<JobWish>[] = [
  SAME,
  { ...SAME, ttlMs: 1500 },
  { ...SAME, ttlMs: 3000 },
  { ...SAME, ttlMs: 1000, cacheRead: true },
];

function badValue(isFramed: boolean, index: number): Buffer {
  return isFramed
    ? framedJobValue({ jobId: `lost-${String(index)}`, tenant: "shop", prompt: "why" }, UNKNOWN_SCHEMA_ID)
    : Buffer.from(`{"jobId": no json ${String(index)}`);
}

const UNKNOWN_SCHEMA_ID = 99;

function wishOf(random: SeededRandom, index: number, prompts: number, gentle: boolean): JobWish {
  const prompt = `question ${String(random.between(1, prompts))}`;
  const roll = gentle ? 1 : random.next();
  return {
    jobId: `job-${String(index)}`,
    tenant: random.chance(0.6) ? "catalogue" : "shop",
    prompt: roll < 0.08 ? `${prompt} ${AT_LENGTH}` : roll < 0.14 ? `${LONG_PROMPT}${prompt}` : prompt,
    ...(gentle || random.chance(0.85) ? {} : { replyTo: SIDE_TOPIC }),
    ...(random.chance(0.15) ? { ttlMs: random.between(1000, 25_000) } : {}),
    ...(random.chance(0.2) ? { priority: random.between(0, 9) } : {}),
    ...(random.chance(0.1) ? { dedupe: false } : {}),
    ...(random.chance(0.2) ? { cacheRead: false } : {}),
    ...(random.chance(0.1) ? { onDoubt: "fail" } : {}),
  };
}
