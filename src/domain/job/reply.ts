import type { TenantTerms } from "./admission-settings.js";
import type { IncomingRecord, ReplyEnvelope } from "./job.js";
import type { ReadHeaders } from "./record-headers.js";

/**
 * Where a job wants its result: its member `replyTo`, else Spring's header, else the default topic.
 * @returns null when the topic is not one that the tenant may write to.
 */
export function chooseReply(asked: ReplyRequest, replyTo: string | null): ReplyEnvelope | null {
  const { headers, resultsTopic } = asked;
  const topic = replyTo ?? headers.replyTopic ?? resultsTopic;
  if (topic !== resultsTopic && !asked.terms.replyTopics.some((allowed) => forTenant(allowed, asked.tenant) === topic))
    return null;
  // A partition was meant for the topic in the header beside it.
  return envelope(asked, topic, topic === headers.replyTopic ? headers.replyPartition : null);
}

/** The default topic: for a refusal whose own wish can't be followed. */
export function defaultReply(asked: ReplyRequest): ReplyEnvelope {
  return envelope(asked, asked.resultsTopic, null);
}

export interface ReplyRequest {
  readonly record: IncomingRecord;
  readonly headers: ReadHeaders;
  readonly tenant: string;
  readonly terms: TenantTerms;
  /** With the tenant's name put in. */
  readonly resultsTopic: string;
}

/** Puts the tenant into a topic name that holds `{tenant}`. */
export function forTenant(topic: string, tenant: string): string {
  return topic.includes("{tenant}") ? topic.replaceAll("{tenant}", () => tenant) : topic;
}

function envelope(asked: ReplyRequest, topic: string, partition: number | null): ReplyEnvelope {
  return { topic, partition, key: asked.record.key?.toString("base64") ?? null, headers: asked.headers.copied };
}
