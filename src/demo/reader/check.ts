import { parseBill } from "./bill-row.js";
import { checkCosts } from "./check-costs.js";
import type { CostsReport } from "./check-costs.js";
import { checkDeadLetters } from "./check-dead-letters.js";
import { checkResults, jobKey } from "./check-results.js";
import type { Finding } from "./finding.js";
import type { PriceList } from "./list-price.js";
import type { PublishedList } from "./published-list.js";
import type { TopicRecord } from "./topic-record.js";

/** All that the reader looks at: what was published, what lies in the topics, and the text of the bill file. */
export interface ReaderInput {
  readonly published: PublishedList;
  readonly results: readonly TopicRecord[];
  readonly costs: readonly TopicRecord[];
  readonly deadLetters: readonly TopicRecord[];
  /** Null: real providers, which show no bill and put no digest into their answers. */
  readonly billText: string | null;
  readonly prices: PriceList;
  /** By the model that a job asks for: that of its first route, as `provider/model` of the price list. */
  readonly firstModels: ReadonlyMap<string, string>;
  /** Error codes that a failed result may have in this run; any other failure is a finding. */
  readonly failureCodesAllowed: ReadonlySet<string>;
  /** Whether jobs that may not wait for a batch may miss their time: the router was away. */
  readonly directMayExpire: boolean;
}

/** What the reader saw. `findings` is empty exactly when everything holds. Money in nano-dollars. */
export interface ReaderReport extends Omit<CostsReport, "findings"> {
  readonly findings: readonly Finding[];
  readonly jobs: number;
  /** Jobs that have a result. */
  readonly results: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly repeats: number;
  /** Jobs that did not succeed, those that expired among them. */
  readonly failed: number;
  readonly expired: number;
  readonly deadLetters: number;
  readonly malformed: number;
  readonly billRows: number;
  /** Results by how they were served: `call`, `coalesced`, `exact_cache`, … */
  readonly served: Readonly<Record<string, number>>;
}

/** Holds published jobs, results, costs, dead letters and the bill against each other. Pure. */
export function check(input: ReaderInput): ReaderReport {
  const { billText } = input;
  const { rows, findings: billFindings } = billText === null ? { rows: null, findings: [] } : parseBill(billText);
  const { failureCodesAllowed, directMayExpire } = input;
  const rules = { failureCodesAllowed, directMayExpire, digests: billText !== null };
  const results = checkResults(input.published.jobs, input.results, rules);
  const costs = checkCosts(input.costs, rows, results.answered, {
    prices: input.prices,
    modelOfJob: modelOfJob(input),
  });
  const letters = checkDeadLetters(input.published, input.deadLetters, results.answered);
  return {
    ...costs,
    findings: [...results.findings, ...costs.findings, ...letters.findings, ...billFindings],
    jobs: input.published.jobs.length,
    results: results.answered.size,
    lost: results.lost,
    duplicates: results.duplicates,
    repeats: results.repeats,
    failed: results.failed,
    expired: results.expired,
    deadLetters: letters.deadLetters,
    malformed: input.published.malformedDigests.length,
    billRows: rows?.length ?? 0,
    served: Object.fromEntries(results.served),
  };
}

function modelOfJob({ published, firstModels }: ReaderInput): ReadonlyMap<string, string> {
  return new Map(
    published.jobs.map(({ tenant, jobId, model }) => [jobKey(tenant, jobId), firstModels.get(model) ?? model]),
  );
}
