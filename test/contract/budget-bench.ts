import type { Budget, BudgetStanding } from "../../src/domain/budget/budget.js";
import type { LedgerKey } from "../../src/domain/ids.js";
import type { BatchBench, WholeLedger } from "./batch-bench.js";
import type { LedgerBench, Held, OpenLedger } from "./ledger-bench.js";

/** A ledger with budgets under test. */
export interface BudgetedLedger extends OpenLedger {
  readonly ledger: WholeLedger;
  /** Where a budget stands, by its key; its only window. */
  readonly standing: (key: string) => Promise<BudgetStanding>;
  /** Attempts that hold money, by number, one for each budget that they count in. */
  readonly reservations: () => Promise<readonly number[]>;
  /**
   * As `sluice in-doubt resolve` does it, or `sluice costs reconcile` when a bill says it; 0: it was not billed.
   * @returns whether it changed anything.
   */
  readonly resolve: (attempt: LedgerKey, nanoUsd: bigint, byBill?: "by bill") => Promise<boolean>;
}

export type OpenBudgeted = (budgets: readonly Budget[], waitersMax?: number) => Promise<BudgetedLedger>;

/** What the bench's calls and lines may cost at most. */
export const CALL = 2_000_000n;
export const LINE = 1_000_000n;
export const TENANT = "catalogue";
export const A = { jobId: "a", tenant: TENANT, prompt: "why" } as const;
export const B = { jobId: "b", tenant: TENANT, prompt: "how" } as const;
export const ELSEWHERE = { jobId: "c", tenant: "shop", prompt: "who" } as const;

/** The bench of the case that runs, with money for so many nano-dollars. */
export interface At {
  readonly opened: BudgetedLedger;
  readonly bench: LedgerBench;
  readonly batches: BatchBench;
  open(limitNanoUsd: bigint): Promise<void>;
  openWith(budgets: readonly Budget[], waitersMax?: number): Promise<void>;
  /** Settled, reserved; of the tenant when no budget is named. */
  standing(budget?: Budget): Promise<readonly [bigint, bigint]>;
}

export function wishNo(no: number) {
  return { jobId: `j${String(no)}`, tenant: TENANT, prompt: `p${String(no)}` };
}

export function fail(): never {
  throw new Error("the process dies here");
}

/** Claims what is due, with an intent for one execution. */
export async function startOne(at: At, aheadMs = 0, number = 1) {
  const intent = await at.bench.intent(number);
  return at.bench.claim(() => ({ kind: "start", intent }), "run", aheadMs);
}

export function again(
  started: { readonly execution: { readonly key: Held["execution"] }; readonly intent: Held["intent"] } | undefined,
  wish: Held["wish"],
): Held {
  if (started === undefined) throw new Error("expected a second try");
  return { execution: started.execution.key, intent: started.intent, wish };
}

export function costing<Intent extends Held["intent"] | null>(intent: Intent, maxNanoUsd: bigint): Intent {
  return intent === null ? intent : { ...intent, maxNanoUsd };
}

export function errorIn(outbox: Awaited<ReturnType<LedgerBench["claim"]>>["outbox"]): unknown {
  const [result] = outbox.flatMap(({ records }) => records.filter(({ kind }) => kind === "result"));
  return (JSON.parse(result?.value?.toString("utf8") ?? "{}") as { readonly error?: unknown }).error; // our own
}
