import type { BatchRules, BatchWayRules } from "../../src/domain/batch/batch-rules.js";
import type { JobMode, RequestFormat } from "../../src/domain/job/job.js";
import type { RequestFacts } from "../../src/domain/route/request-facts.js";
import type { Route, RoutePlan } from "../../src/domain/route/route.js";
import { SeededRandom } from "./simulation/seeded-random.js";

/**
 * Random accounts and jobs for the packing world. Three kinds of worlds:
 * - `roomy`: limits of a batch are small, those of the account are not felt. Jobs of mode batch have any deadline, also such as can only
 *   just be met
 * - `tight`: enqueued tokens and open batches are short, and a batch that runs can't be taken back: a job that insists on one has the time
 *   that the tokens and lines of the whole stream need; all others can have a call of their own when time is short
 * - `unmarked`: as tight, no two batches have equally many lines, models are mixed, and nobody insists on a batch
 */
export type WorldKind = "roomy" | "tight" | "unmarked";

export interface StreamAccount {
  readonly name: string;
  readonly hasBatches: boolean;
  readonly rules: BatchRules;
  readonly way: BatchWayRules;
  readonly linesMax: number;
  readonly bytesMax: number;
  readonly tokensMax: number | null;
  readonly openBatchesMax: number;
  readonly flushAfterMs: number;
  /** From the making of a batch to its submission, from its end to its stored lines, and of a call of its own. */
  readonly uploadMs: number;
  readonly storeMs: number;
  readonly directMs: number;
}

export interface StreamJob {
  readonly no: number;
  readonly tenant: string;
  readonly mode: JobMode;
  readonly arrivesAtMs: number;
  readonly deadlineMs: number;
  readonly facts: RequestFacts;
  readonly plan: RoutePlan;
  readonly tokens: number;
  /** Some batch can hold its line. */
  readonly fitsBatch: boolean;
}

export interface Stream {
  readonly kind: WorldKind;
  readonly accounts: readonly StreamAccount[];
  readonly jobs: readonly StreamJob[];
  /** Longest turnaround of a batch, and the prior. */
  readonly turnaroundMs: number;
  readonly lookEveryMs: number;
  /** Of the next batch. */
  readonly turnaroundOf: (account: StreamAccount) => number;
}

/** Of a line, before id and body. */
export const LINE_OPENING_BYTES = 40;
const ID_BYTES_MAX = 17;
const IMAGE_TOKENS = 50;
const BYTES_PER_TOKEN = 3;

export function randomStream(seed: number): Stream {
  const random = new SeededRandom(seed);
  const kind = random.pick<WorldKind>(["roomy", "tight", "unmarked"]);
  const turnaroundMs = random.between(240_000, random.pick([600_000, 43_200_000]));
  const lookEveryMs = random.between(500, 4_000);
  const drafts = randomDrafts(random);
  const accounts = randomAccounts(random, kind, drafts);
  const world = { random, kind, turnaroundMs, lookEveryMs, accounts };
  const jobs = drafts.map((draft, index) => jobOf(world, draft, index + 1, drafts));
  return { ...world, jobs, turnaroundOf: () => random.between(Math.ceil(turnaroundMs * 0.85), turnaroundMs) };
}

/** A request before anything is known of its world. */
interface Draft {
  readonly bodyBytes: number;
  readonly images: number;
  readonly isEmbedding: boolean;
  readonly tokens: number;
}

interface World {
  readonly random: SeededRandom;
  readonly kind: WorldKind;
  readonly turnaroundMs: number;
  readonly lookEveryMs: number;
  readonly accounts: readonly StreamAccount[];
}

function randomDrafts(random: SeededRandom): Draft[] {
  const count = random.between(10, 120);
  const bytesMax = random.pick([60, 300, 1_500]);
  const embeddings = random.chance(0.2);
  return Array.from({ length: count }, () => {
    const bodyBytes = random.between(20, bytesMax);
    const images = !embeddings && random.chance(0.1) ? random.between(1, 3) : 0;
    const tokens = Math.ceil(bodyBytes / BYTES_PER_TOKEN) + images * IMAGE_TOKENS;
    return { bodyBytes, images, isEmbedding: embeddings, tokens };
  });
}

function randomAccounts(random: SeededRandom, kind: WorldKind, drafts: readonly Draft[]): StreamAccount[] {
  const count = random.between(1, 2);
  return Array.from({ length: count }, (_unused, index) => randomAccount(random, kind, index, drafts));
}

function randomAccount(random: SeededRandom, kind: WorldKind, index: number, drafts: readonly Draft[]): StreamAccount {
  const tokens = drafts.reduce((sum, draft) => sum + draft.tokens, 0);
  const linesMax = random.pick([random.between(1, 6), random.between(5, 60)]);
  const bytesMax = random.pick([random.between(200, 3_000), random.between(3_000, 60_000)]);
  const way: BatchWayRules = {
    way: "file",
    fence: "delete_file",
    linesMax: random.chance(0.5) ? null : linesMax,
    bytesMax: bytesMax + random.between(0, 1) * 1_000,
    lineBytesMax: random.chance(0.8) ? bytesMax : random.between(150, 1_000),
    frameBytes: random.between(0, 60),
    embeddingInputsMax: random.chance(0.5) ? null : random.between(10, 60),
  };
  const isTight = kind !== "roomy";
  return {
    name: `account-${String(index)}`,
    hasBatches: index === 0 || random.chance(0.7),
    rules: rulesOf(way, kind),
    way,
    linesMax,
    bytesMax,
    tokensMax: isTight && random.chance(0.8) ? Math.ceil(tokens / random.between(1, 5)) : null,
    openBatchesMax: isTight ? random.between(1, 4) : 1_000,
    flushAfterMs: random.pick([0, random.between(1_000, 600_000)]),
    uploadMs: random.between(0, 2_000),
    storeMs: random.between(0, 2_000),
    directMs: random.between(300, 30_000),
  };
}

function rulesOf(way: BatchWayRules, kind: WorldKind): BatchRules {
  const isMarked = kind !== "unmarked";
  return {
    ways: [way],
    formats: ["openai.chat", "openai.embeddings"],
    alike: { format: true, model: isMarked },
    customIdForm: /^[\w-]{1,64}$/,
    markCharactersMax: isMarked ? 64 : null,
    listFilter: "none",
    windowMs: 86_400_000,
    expiredKeepsResults: true,
    resultsKeptMs: 86_400_000,
    allowance: "enqueued_tokens",
    openBatchesMax: null,
    createsPerHourMax: null,
    discount: { percent: 50, cachedInput: "discounted" },
  };
}

function jobOf(world: World, draft: Draft, no: number, drafts: readonly Draft[]): StreamJob {
  const { random, turnaroundMs, kind } = world;
  const mode = random.chance(0.1) ? "direct" : kind !== "unmarked" && random.chance(0.35) ? "batch" : "auto";
  const arrivesAtMs = random.chance(0.3) ? 0 : random.between(0, turnaroundMs * 3);
  const format = draft.isEmbedding ? "openai.embeddings" : "openai.chat";
  return {
    no,
    tenant: `tenant-${String(Math.floor(random.next() ** 2 * 4))}`,
    mode,
    arrivesAtMs,
    deadlineMs: arrivesAtMs + timeToLive(world, mode, drafts),
    facts: factsOf(draft, format, random.between(0, 3)),
    plan: planOf(world),
    tokens: draft.tokens,
    fitsBatch: world.accounts.every((account) => !account.hasBatches || fitsAlone(account, draft)),
  };
}

function timeToLive(
  { random, kind, turnaroundMs, accounts, lookEveryMs }: World,
  mode: JobMode,
  drafts: readonly Draft[],
) {
  if (mode === "batch" && kind === "tight")
    return Math.ceil(turnaroundMs * (roundsOf(accounts, drafts) + random.between(0, 6)));
  const edgeMs = turnaroundMs + 2 * lookEveryMs + 4_000;
  return random.pick([
    random.between(100, 90_000),
    edgeMs + random.between(-3_000, 3_000),
    random.between(turnaroundMs, Math.ceil(turnaroundMs * 2.5)),
    random.between(turnaroundMs, turnaroundMs * 8),
  ]);
}

/** Turnarounds in which everything of the stream has been in a batch, however it is cut up; each model of two is a pool of its own. */
function roundsOf(accounts: readonly StreamAccount[], drafts: readonly Draft[]): number {
  const bytes = drafts.reduce((sum, { bodyBytes }) => sum + bodyBytes + LINE_OPENING_BYTES + ID_BYTES_MAX + 1, 0);
  const tokens = drafts.reduce((sum, draft) => sum + draft.tokens, 0);
  const inputs = drafts.reduce((sum, draft) => sum + inputsOf(draft), 0);
  const ofEach = accounts
    .filter(({ hasBatches }) => hasBatches)
    .map(({ linesMax, bytesMax, tokensMax, way }) => {
      const batches =
        drafts.length / linesMax + (2 * bytes) / bytesMax + (2 * inputs) / (way.embeddingInputsMax ?? 1e9);
      return batches + (2 * tokens) / (tokensMax ?? 1e9);
    });
  return 4 + 2 * Math.ceil(Math.max(...ofEach));
}

function inputsOf({ bodyBytes, isEmbedding }: Draft): number {
  return isEmbedding ? bodyBytes % 7 : 0;
}

function fitsAlone({ bytesMax, tokensMax, way }: StreamAccount, draft: Draft): boolean {
  const bytes = LINE_OPENING_BYTES + ID_BYTES_MAX + draft.bodyBytes;
  return (
    bytes <= way.lineBytesMax &&
    way.frameBytes + bytes + 1 <= bytesMax &&
    draft.tokens <= (tokensMax ?? Infinity) &&
    inputsOf(draft) <= (way.embeddingInputsMax ?? Infinity)
  );
}

function factsOf({ bodyBytes, images }: Draft, format: RequestFormat, opening: number): RequestFacts {
  return {
    format,
    bodyText: `{"messages":[{"role":"system","content":"${String(opening)}`.padEnd(bodyBytes, ".").slice(0, bodyBytes),
    bodyBytes,
    holdsMedia: false,
    capabilities: [],
    asks: { sampling: [], effort: null, thinking: null },
    images,
    requestedMaxOutputTokens: 10,
    choices: 1,
    maxCostNanoUsd: null,
  };
}

const PRICE = {
  version: "stream",
  inputNanoPerMillion: 1_000_000_000n,
  outputNanoPerMillion: 4_000_000_000n,
  cachedInputNanoPerMillion: null,
  cacheWriteNanoPerMillion: null,
  cacheWrite1hNanoPerMillion: null,
  longContext: null,
};
const HALF_PRICE = { ...PRICE, inputNanoPerMillion: 500_000_000n, outputNanoPerMillion: 2_000_000_000n };

function planOf({ random, accounts: all }: World): RoutePlan {
  const routes = all.map(({ name }): Route => ({
    account: name,
    kind: "openai",
    model: random.pick(["m", "n"]),
    price: PRICE,
    batchPrice: HALF_PRICE,
    maxOutputTokens: 100,
    contextTokens: null,
    unseen: { overheadTokens: 0, imageTokensMax: IMAGE_TOKENS },
  }));
  const [first] = routes;
  const accounts = routes.map(({ account }) => account);
  return { first: first ?? null, routes, rejected: [], accounts, ruledOut: 0, failure: null };
}
