import type { Evidence, PublishedRecord, ResultRecord, Violation } from "../evidence/evidence.js";
import { isResent, placeOf } from "../evidence/record.js";
import { acceptedRecords, jobKey } from "./lookups.js";
import { Violations } from "./violations.js";

/** Each answer bears the digest of its own job's prompt, in the job's own format, with the key and the correlation bytes of its record. */
export function checkRightAnswer(evidence: Evidence): readonly Violation[] {
  const found = new Violations("right_answer");
  const owners = new Map(evidence.published.map((record) => [record.promptDigest, record]));
  for (const result of evidence.topics.results) {
    const job = acceptedRecords(evidence).get(jobKey(result.tenant, result.jobId));
    if (job === undefined || result.generation < 0) continue; // no job: that is for others to judge
    checkEnvelope(result, job, found);
    if (result.status === "succeeded") checkAnswer(result, job, owners, found);
  }
  return found.list;
}

function checkEnvelope({ record, tenant, jobId }: ResultRecord, job: PublishedRecord, found: Violations): void {
  const key = record.key?.toString("base64") ?? null;
  if (key !== job.key)
    found.add(
      "wrong_key",
      { tenant, jobId },
      `${placeOf(record)}: the key is ${key ?? "none"}, its job's ${job.key ?? "none"} (base64)`,
    );
  const correlation = record.headers.get("kafka_correlationId")?.toString("base64") ?? null;
  // A result that is sent again goes to the newer record's sender.
  if (!isResent(record) && correlation !== job.correlation)
    found.add("wrong_correlation", { tenant, jobId }, `${placeOf(record)}: the correlation bytes are not its job's`);
}

const DIGEST = /digest=([0-9a-f]{32})(?![0-9a-f])/;

function checkAnswer(
  result: ResultRecord,
  job: PublishedRecord,
  owners: ReadonlyMap<string | null, PublishedRecord>,
  found: Violations,
): void {
  const place = placeOf(result.record);
  if (result.format !== job.format)
    found.add(
      "wrong_format",
      result,
      `${place}: asked in ${job.format ?? "none"}, answered in ${result.format ?? "none"}`,
    );
  if (job.promptDigest === null) return;
  const digest = DIGEST.exec(result.answerText ?? "")?.[1];
  if (digest === undefined) found.add("no_digest", result, `${place}: the answer bears no digest`);
  else if (digest !== job.promptDigest) {
    const owner = owners.get(digest);
    const whose =
      owner === undefined ? "of no published prompt" : `of the prompt of ${owner.tenant}/${owner.jobId ?? ""}`;
    found.add("wrong_answer", result, `${place}: the answer bears the digest ${whose}`);
  }
}
