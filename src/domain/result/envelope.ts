import type { AdmittedJob, ReplyEnvelope, RequestFormat, Tier } from "../job/job.js";

/** What a job's result needs of the job, kept with it as JSON text and read again when it ends. */
export interface Envelope {
  readonly reply: ReplyEnvelope;
  readonly format: RequestFormat;
  readonly labels: Readonly<Record<string, string>>;
  readonly tier: Tier;
  readonly submittedAtMs: number;
  readonly deadlineMs: number;
  readonly requestHash: string;
  readonly model: string;
  /** Only there when true: the result says all that decided about its route. */
  readonly explain?: boolean;
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number };
}

/** What only the envelope of a job that asks to be explained holds: within a text the quotes would be escaped, and a label's value is a text. */
export const EXPLAIN_MARK = '"explain":true';

export function renderEnvelope(job: AdmittedJob): string {
  const envelope: Envelope = {
    reply: job.reply,
    format: job.format,
    labels: job.labels,
    tier: job.tier,
    submittedAtMs: job.submittedAtMs,
    deadlineMs: job.deadlineMs,
    requestHash: job.executionKey.toString("hex"),
    model: job.policy.model,
    ...(job.explain ? { explain: true } : {}),
    source: job.record,
  };
  return JSON.stringify(envelope);
}

/** Only ever reads what `renderEnvelope` wrote. */
export function parseEnvelope(text: string): Envelope {
  return JSON.parse(text) as Envelope; // the parsing edge: written by the function above
}
