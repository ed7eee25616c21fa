import type { JobView } from "./job-view.js";

/** The one sentence that `jobs show` begins with: the state, why, and what happens next. */
export function jobSentence(job: JobView, nowMs: number): string {
  const deadline = `deadline ${clock(job.deadlineMs)}`;
  const last = job.attempts.find(({ number }) => number === job.servedBy) ?? job.attempts.at(-1);
  const at = last === undefined ? "" : `attempt ${String(last.number)} at ${last.account}/${last.model}`;
  switch (job.state) {
    case "waiting":
      return `waiting: ${waitingFor(job, nowMs)}${afterText(job)}, ${deadline}`;
    case "running":
      return `running: ${at === "" ? "its call is out" : `${at}, since ${clock(last?.startedMs ?? job.acceptedMs)}`}, ${deadline}`;
    case "batched":
      return `batched: ${inBatch(job)}, ${deadline}`;
    case "in_doubt":
      return `in_doubt: ${at} may have been billed, at most ${last?.maxNanoUsd ?? "?"} nano-dollars; settled by policy after its grace, ${deadline}`;
    case "succeeded":
      return `succeeded: ${job.attempts.length === 0 ? "served without a call" : `served by ${at}`}, ${clock(job.endedMs ?? nowMs)}, result ${deliveryText(job)}`;
    case "failed":
    case "expired":
      return `${job.state}: ${job.code ?? "no code"}${job.message === null ? "" : `: ${job.message}`}; result ${deliveryText(job)}${letterText(job)}`;
    case "cancelled":
      return `cancelled: on request, ${clock(job.endedMs ?? nowMs)}; result ${deliveryText(job)}`;
  }
}

function waitingFor({ waitsFor }: JobView, nowMs: number): string {
  if (waitsFor === null) return "its execution has ended, the result is being written";
  if (waitsFor.batchAt !== null)
    return `waits for ${waitsFor.reason} at ${waitsFor.batchAt.account}/${waitsFor.batchAt.model}, at the latest until ${clock(waitsFor.untilMs)}`;
  const what = waitsFor.limit === null ? waitsFor.reason : `${waitsFor.reason} (${waitsFor.limit})`;
  return waitsFor.untilMs > nowMs
    ? `waits for ${what} until ${clock(waitsFor.untilMs)}`
    : `waits for ${what}, due since ${clock(waitsFor.untilMs)}`;
}

function inBatch({ batch }: JobView): string {
  if (batch === null) return "its line is in a batch that the ledger no longer has";
  const { provider, account, line, percent, expectedMs } = batch;
  const done = percent === null ? "unknown how much of it is done" : `${String(percent)} % done`;
  const expected = expectedMs === null ? "not yet submitted" : `expected ${clock(expectedMs)}`;
  return `waits for ${provider}/${account} batch ${batch.batchId}, line ${String(line)}, ${done}, ${expected}`;
}

/** The last try, when it has an outcome. */
function afterText({ attempts }: JobView): string {
  const last = attempts.at(-1);
  if (last === undefined || last.outcome === null) return "";
  return `, after attempt ${String(last.number)} at ${last.account}/${last.model} was ${last.outcome}`;
}

function deliveryText({ delivery, undeliverable }: JobView): string {
  switch (delivery) {
    case "none":
      return "none";
    case "pending":
      return "not yet published";
    case "published":
      return "published";
    case "undeliverable":
      return undeliverable === null
        ? "undeliverable"
        : `undeliverable: ${undeliverable.message}${letterText({ letter: undeliverable })}`;
  }
}

function letterText({ letter }: Pick<JobView, "letter">): string {
  return letter === null
    ? ""
    : `, dead letter ${String(letter.no)} is ${letter.state}${letter.state === "open" ? `; sluice dlq replay ${String(letter.no)}` : ""}`;
}

function clock(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
