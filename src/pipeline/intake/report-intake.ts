import type { IntakeJob } from "../../domain/result/outgoing.js";
import type { Accepted, IntakeOutcome } from "../../ports/ledger.js";
import type { Metrics, RecordResult } from "../../ports/metrics.js";
import type { IntakeListener } from "../alert/tally-recorder.js";
import { reportEnds } from "../finish/finish-stage.js";

/** A group that the ledger has accepted, as it was made of its records. */
export interface ReportedGroup {
  readonly jobs: readonly { readonly item: Pick<IntakeJob, "job"> }[];
  readonly refused: readonly OfTopic[];
  readonly cancels: readonly OfTopic[];
  /** Of the refused records that have a result. */
  readonly headersDropped: number;
  readonly outcome: Extract<IntakeOutcome, { kind: "accepted" }>;
}

interface OfTopic {
  readonly topic: string;
}

const RESULT_OF: Readonly<Record<Accepted["kind"], RecordResult>> = {
  started: "accepted",
  queued: "accepted",
  pooled: "accepted",
  joined: "accepted",
  cached: "accepted",
  expired: "accepted",
  cancelled: "accepted",
  redelivered: "redelivered",
  repeated: "duplicate",
  conflict: "refused",
};

type ResultCounts = Record<RecordResult, number>;

/** Counts what became of a group's records, by the sums of the group; and what ended with it, as every other group that ends jobs. */
export function reportIntake(
  { metrics, listener }: { readonly metrics: Metrics; readonly listener?: IntakeListener },
  group: ReportedGroup,
): void {
  const { jobs, refused, cancels, outcome } = group;
  let { headersDropped } = group;
  let [joined, cached] = [0, 0];
  const topics = new Map<string, ResultCounts>();
  const tenants = new Map<string, number>();
  for (const [index, { kind }] of outcome.jobs.entries()) {
    const job = jobs[index]?.item.job;
    if (job === undefined) continue;
    const result = RESULT_OF[kind];
    countsOf(topics, job.record.topic)[result] += 1;
    if (result === "accepted") tenants.set(job.tenant, (tenants.get(job.tenant) ?? 0) + 1);
    if (result === "accepted" || result === "duplicate") headersDropped += job.headersDropped ?? 0;
    if (kind === "joined") joined += 1;
    if (kind === "cached") cached += 1;
  }
  for (const { topic } of refused) countsOf(topics, topic).refused += 1;
  for (const { topic } of cancels) countsOf(topics, topic).cancel += 1;
  for (const [topic, counts] of topics)
    for (const result of RECORD_RESULTS) metrics.count("sluice_records_total", { topic, result }, counts[result]);
  for (const [tenant, accepted] of tenants) metrics.count("sluice_jobs_accepted_total", { tenant }, accepted);
  metrics.count("sluice_coalesced_total", {}, joined);
  metrics.count("sluice_cache_answers_total", {}, cached);
  metrics.count("sluice_headers_dropped_total", {}, headersDropped);
  reportEnds(metrics, outcome);
  listener?.endedAtIntake(outcome.ended.length);
}

const RECORD_RESULTS: readonly RecordResult[] = ["accepted", "duplicate", "redelivered", "refused", "cancel"];

function countsOf(topics: Map<string, ResultCounts>, topic: string): ResultCounts {
  let counts = topics.get(topic);
  if (counts === undefined) {
    counts = { accepted: 0, duplicate: 0, redelivered: 0, refused: 0, cancel: 0 };
    topics.set(topic, counts);
  }
  return counts;
}
