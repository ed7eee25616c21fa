import type { AttemptOutcome, Failure } from "../failure.js";
import type { LedgerKey, EpochMs } from "../ids.js";
import type { JobMode, RequestFormat, RoutePolicy } from "../job/job.js";
import type { RouteDecision } from "../route/route-decision.js";
import type { ProviderKind } from "../route/route.js";
import type { Usage } from "../cost/usage.js";
import type { WaitReason } from "./waits.js";

/**
 * States of an execution. `ready`: a row waits with its `run_at`; `running`: one attempt is with a router's session; `in_doubt`:
 * that attempt may have been billed and its answer is not known. The database refuses every change that is not listed.
 */
export const EXECUTION_TRANSITIONS = {
  ready: ["running", "succeeded", "failed", "dropped"],
  running: ["ready", "in_doubt", "succeeded", "failed"],
  in_doubt: ["ready", "running", "succeeded", "failed", "dropped"],
  succeeded: [],
  failed: [],
  dropped: [],
} as const satisfies Record<string, readonly string[]>;
export type ExecutionState = keyof typeof EXECUTION_TRANSITIONS;

/**
 * States of an attempt. `batched`: a line of a batch, whose state says how far it is, from its binding to its outcome; where lines are
 * calls, until its own begins. `settled`: doubt ended by policy and the work went on without it. A late outcome is a fact and is recorded
 * from `in_doubt` and `settled` too; the first one stands. A line that was given back since nobody found its batch is `batched` again when that
 * turns up.
 */
export const ATTEMPT_TRANSITIONS = {
  sending: ["answered", "failed", "not_sent", "in_doubt"],
  batched: ["sending", "answered", "failed", "not_sent"],
  in_doubt: ["answered", "failed", "settled"],
  settled: ["answered", "failed"],
  answered: [],
  failed: [],
  not_sent: ["batched"],
} as const satisfies Record<string, readonly string[]>;
export type AttemptState = keyof typeof ATTEMPT_TRANSITIONS;

/** States of a job. What people see while it is `active` is derived from its execution (contract.md, "What people see"). */
export const JOB_TRANSITIONS = {
  active: ["succeeded", "failed", "expired", "cancelled"],
  succeeded: [],
  failed: [],
  expired: [],
  cancelled: [],
} as const satisfies Record<string, readonly string[]>;
export type JobState = keyof typeof JOB_TRANSITIONS;
export type EndedState = Exclude<JobState, "active">;

/** The durable intent to make one call, fixed before bytes leave. `no` is unique in the ledger; `day` is the execution's. */
export interface AttemptIntent {
  readonly no: number;
  /** 1 for the first attempt of the execution. */
  readonly number: number;
  readonly account: string;
  readonly provider: ProviderKind;
  readonly model: string;
  readonly routeIndex: number;
  /** Upper bound of what the call may cost, nano-dollars. */
  readonly maxNanoUsd: bigint;
  readonly startedAtMs: EpochMs;
  /** Only there for a line of a batch. */
  readonly batchNo?: number;
  /** Only there for a rescue: the attempt that is the line beside which it is made. */
  readonly supersedes?: number;
}

/** A line of a batch without an outcome. */
export interface LineOut {
  readonly attemptNo: number;
  /** Of the attempt. */
  readonly number: number;
  readonly batchNo: number;
  readonly account: string;
  readonly provider: ProviderKind;
  /** When its batch is expected to have ended; null: not known. */
  readonly expectedAtMs: EpochMs | null;
}

/**
 * One finished try, as results and `jobs show` list it. An attempt that was never sent is none: a call or a line that was given back has no
 * outcome of a provider and costs nothing, and the next try has its number again. Where a rescue was out beside such a line the rescue has the
 * number behind it, so that the numbers of a history may begin above 1 or leave one out; `jobs show` lists the line all the same.
 */
export interface AttemptSummary {
  readonly number: number;
  readonly no: number;
  readonly provider: ProviderKind;
  readonly account: string;
  readonly model: string;
  readonly mode: "direct" | "batch";
  /** Only there for a line of a batch: ours, and the provider's name for it. */
  readonly batch?: { readonly no: number; readonly providerBatchId: string | null };
  readonly outcome: AttemptOutcome;
  /** Only there where it was the fault of this one model, though the outcome alone says the account's. */
  readonly faultOf?: "model";
  readonly providerRequestId: string | null;
  readonly startedAtMs: EpochMs;
  readonly ms: number;
  readonly maxNanoUsd: string;
}

/** How many tries these were. Counted by number: a line that turned up when it had been given up has one that was used again. */
export function triesOf(history: readonly AttemptSummary[]): number {
  return Math.max(0, ...history.map(({ number }) => number));
}

/** The answer that serves an execution, with its price worked out once. */
export interface ServedAnswer {
  readonly bodyText: string;
  readonly facts: AnswerFacts;
}

/** All but the body; stored as JSON beside it, so amounts are decimal text. */
export interface AnswerFacts {
  readonly finishReason: string;
  readonly provider: ProviderKind;
  readonly account: string;
  readonly model: string;
  readonly modelVersion: string | null;
  readonly usage: Usage;
  /** Null exactly when the usage is suspect. */
  readonly nanoUsd: string | null;
  readonly maxNanoUsd: string;
  readonly listNanoUsd: string;
  /** The list price on the route that answered; only there when that is not the first that could serve. */
  readonly routeListNanoUsd?: string;
  readonly priceVersion: string;
  readonly attempt: AttemptSummary;
  /** Only there where there was something to choose between a batch and a call of its own. */
  readonly decision?: RouteDecision;
  /** Whether identical requests may be served from it (no refusal, not truncated, cost known). */
  readonly cacheable: boolean;
}

/** What dispatch needs to start or settle an execution that waited as a row. */
export interface WaitingExecution {
  readonly key: LedgerKey;
  readonly tenant: string;
  /** `running`: its line is out, and a rescue may be made. */
  readonly state: "ready" | "in_doubt" | "running";
  readonly format: RequestFormat;
  readonly policy: RoutePolicy;
  readonly bodyText: string;
  readonly history: readonly AttemptSummary[];
  readonly nextRouteIndex: number;
  /** When its row said it should run. */
  readonly dueAtMs: EpochMs;
  /** What its row said that it waited for. */
  readonly waitedFor: WaitReason;
  /** The attempt in doubt; null when state is `ready`. */
  readonly doubtful: AttemptIntent | null;
  /** Only there where something came of the attempt in doubt that was no answer. */
  readonly doubtfulOutcome?: AttemptOutcome;
  /** Over the jobs that still wait for it. */
  readonly latestDeadlineMs: EpochMs;
  /** Over the same: a batch serves them all only if it ends by then. */
  readonly nearestDeadlineMs: EpochMs;
  readonly maxCostNanoUsd: bigint | null;
  /** What the job that opened it asks for, or `direct` once one joined that must not wait. */
  readonly mode: JobMode;
  /** Only there when one of the jobs that wait for it asks for all that decided about its route. */
  readonly explain?: true;
  /** Only there while a line of it is out beside which a call may be made, or was: until that line ends, nothing else begins. */
  readonly line?: LineOut;
}

export interface TryAgain {
  readonly kind: "again";
  readonly runAtMs: EpochMs;
  readonly routeIndex: number;
  readonly waitsFor: WaitReason;
}

export interface Fail {
  readonly kind: "fail";
  readonly failure: Failure;
  /** It serves nobody, and was billed all the same; null: nothing was. */
  readonly answer: ServedAnswer | null;
  /** What follows instead for a job that has more time than those known when the call began; null: time is not the reason. */
  readonly givenTime: TryAgain | null;
}

/** What is to happen with an execution after an attempt, or when it comes up from its row. */
export type Verdict =
  | { readonly kind: "succeed"; readonly answer: ServedAnswer }
  | TryAgain
  | Fail
  | { readonly kind: "doubt"; readonly settleAtMs: EpochMs };

/** The verdict about a rescue whose line is still out: an end without an answer leaves the jobs to that, which may answer. */
export function verdictBesideLine(verdict: Verdict, routeIndex: number, nowMs: EpochMs): Verdict {
  if (verdict.kind !== "fail" && verdict.kind !== "again") return verdict;
  return { kind: "again", runAtMs: nowMs, routeIndex, waitsFor: "concurrency" };
}

/** The verdict in view of the jobs that wait by now. @param latestDeadlineMs of their deadlines; null: nobody waits. */
export function verdictFor(verdict: Verdict, latestDeadlineMs: EpochMs | null): Verdict {
  if (verdict.kind !== "fail" || verdict.givenTime === null || latestDeadlineMs === null) return verdict;
  return verdict.givenTime.runAtMs < latestDeadlineMs ? verdict.givenTime : verdict;
}
