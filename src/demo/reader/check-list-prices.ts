import type { BillRow } from "./bill-row.js";
import { jobKey } from "./check-results.js";
import type { CostRecord } from "./cost-record.js";
import type { Finding } from "./finding.js";
import { listPriceOf } from "./list-price.js";
import type { PriceList } from "./list-price.js";
import type { ResultRecord } from "./result-record.js";

/** What list prices are worked out from. */
export interface ListPrices {
  readonly prices: PriceList;
  /** By `jobKey`: the model of the price list, as `provider/model`, that a job's first route goes to, whichever answered it. */
  readonly modelOfJob: ReadonlyMap<string, string>;
}

/** The word of a cost record's billing, by that of the result's way of being served: what was saved is told apart by it. */
const BILLING_OF: Readonly<Record<string, string>> = {
  call: "charged",
  coalesced: "shared",
  exact_cache: "cached",
  semantic_cache: "cached",
};

/** The one record that says what a job's answer cost, as `checkCosts` has paired them. */
export interface ServedJob {
  readonly key: string;
  readonly result: ResultRecord;
  readonly cost: CostRecord;
}

/** What was found about one run. */
export interface ListedRun {
  readonly served: readonly ServedJob[];
  /** By `jobKey`. */
  readonly answered: ReadonlyMap<string, ResultRecord>;
  readonly costs: readonly CostRecord[];
  readonly bill: readonly BillRow[] | null;
}

/**
 * Works out anew what each answered job would have cost direct, alone and uncached on its first route, from the tokens of the answer that
 * served it, and holds it against the cost record and the result; and a saving stands under the name that the result gives it. Records that
 * served nobody have no list price. Where neither topics nor bill tell the tokens of an answer, nothing is said of its price.
 */
export function checkListPrices({ served, answered, costs, bill }: ListedRun, list: ListPrices): readonly Finding[] {
  const tokens = tokensByCost(costs, bill);
  return [
    ...costs.filter((cost) => cost.listNanoUsd !== 0n && servedNobody(cost, answered)).map(idleListPrice),
    ...served.flatMap((job) => checkServed(job, tokens(job.cost), list)),
  ];
}

/** Of a job without a result nobody can say; it is lost. Usage that was not believed is objected to as such. */
function servedNobody(
  { kind, billing, tenant, jobId, generation }: CostRecord,
  answered: ReadonlyMap<string, ResultRecord>,
): boolean {
  if (kind === "adjustment" || billing === "waste" || billing === "in_doubt") return true;
  const result = jobId === null ? undefined : answered.get(jobKey(tenant, jobId));
  return result !== undefined && result.generation === generation && result.status !== "succeeded";
}

function idleListPrice({ costId, jobId, listNanoUsd }: CostRecord): Finding {
  const detail = `${costId} served no job, but has the list price ${String(listNanoUsd)}`;
  return { kind: "wrong_list_price", jobId, detail };
}

interface Tokens {
  readonly input: number;
  readonly output: number;
}

function checkServed(
  { key, result, cost }: ServedJob,
  tokens: Tokens | null,
  { prices, modelOfJob }: ListPrices,
): readonly Finding[] {
  const { jobId } = result;
  const findings: Finding[] = [];
  const billing = BILLING_OF[result.served ?? ""];
  if (cost.billing !== billing) {
    const detail = `served ${result.served ?? "by nobody knows what"}, but ${cost.costId} is ${cost.billing}`;
    findings.push({ kind: "wrong_billing", jobId, detail });
  }
  if (result.listNanoUsd !== cost.listNanoUsd) {
    const said = result.listNanoUsd === null ? "none" : String(result.listNanoUsd);
    const detail = `the result has the list price ${said}, its cost record ${String(cost.listNanoUsd)}`;
    findings.push({ kind: "wrong_list_price", jobId, detail });
  }
  if (tokens === null) return findings;
  const model = modelOfJob.get(key) ?? "no model";
  const expected = listPriceOf(prices, model, tokens.input, tokens.output);
  if (expected !== cost.listNanoUsd) {
    const told = `${String(tokens.input)} and ${String(tokens.output)} tokens of ${model}`;
    const price = expected === null ? "have no price" : `are ${String(expected)} by the price list`;
    findings.push({
      kind: "wrong_list_price",
      jobId,
      detail: `${told} ${price}, ${cost.costId} says ${String(cost.listNanoUsd)}`,
    });
  }
  return findings;
}

/**
 * The tokens of the answer behind a record: its own, or those of the record that paid. Of an answer that came after its charge they stand on
 * the adjustment, or on the bill alone.
 */
function tokensByCost(
  costs: readonly CostRecord[],
  bill: readonly BillRow[] | null,
): (cost: CostRecord) => Tokens | null {
  const byId = new Map(costs.map((cost) => [cost.costId, cost]));
  const corrections = new Map(costs.map((cost) => [cost.correctsCostId, cost]));
  const rows = new Map((bill ?? []).map((row) => [row.attempt, row]));
  return (cost) => {
    const payer = cost.paidByCostId === null ? cost : byId.get(cost.paidByCostId);
    if (payer === undefined) return null;
    const row = payer.attemptId === null ? undefined : rows.get(payer.attemptId);
    return tokensOf(payer) ?? tokensOf(corrections.get(payer.costId)) ?? tokensOf(row);
  };
}

function tokensOf(
  told: { readonly inputTokens: number | null; readonly outputTokens: number | null } | undefined,
): Tokens | null {
  if (told === undefined || told.inputTokens === null || told.outputTokens === null) return null;
  return { input: told.inputTokens, output: told.outputTokens };
}
