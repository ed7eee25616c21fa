import type { AdmissionSettings, TenantTerms } from "./admission-settings.js";
import { derivedJobId } from "./ids.js";
import type { IncomingRecord } from "./job.js";
import type { ReadHeaders } from "./record-headers.js";
import { kindOf, quoted } from "./wording.js";

/** Longest job id, in bytes of UTF-8. */
export const JOB_ID_BYTES_MAX = 256;

export type TenantFinding =
  | { readonly kind: "tenant"; readonly tenant: string; readonly terms: TenantTerms }
  | { readonly kind: "unproven"; readonly message: string };

export type JobIdFinding =
  | { readonly kind: "job_id"; readonly jobId: string }
  | { readonly kind: "none" }
  | { readonly kind: "bad"; readonly message: string };

/**
 * Whose job a record is. Nothing but the topic proves it, or the job's own word where the config says so; a claim that
 * differs from the proof is refused, never followed.
 * @param claims what the record says itself: member and header, null where it says nothing.
 */
export function findTenant(
  settings: AdmissionSettings,
  topic: string,
  claims: readonly (string | null)[],
): TenantFinding {
  const said = claims.filter((claim) => claim !== null);
  const owner = settings.tenantFrom === "topic" ? (settings.topicTenants.get(topic) ?? null) : (said[0] ?? null);
  if (owner === null) {
    return unproven(
      settings.tenantFrom === "topic"
        ? `expected a topic that belongs to a tenant, got ${quoted(topic)}; name it in auth.topicTenants`
        : "expected the member tenant or the header llm-tenant, got neither",
    );
  }
  const other = said.find((claim) => claim !== owner);
  if (other !== undefined) {
    const proof = settings.tenantFrom === "topic" ? `topic ${quoted(topic)} belongs to` : "the job says";
    return unproven(`expected tenant ${quoted(owner)} (${proof} it), got ${quoted(other)}`);
  }
  const terms = settings.tenants.get(owner);
  return terms === undefined
    ? unproven(`expected a tenant of the config, got ${quoted(owner)}; add it under tenants`)
    : { kind: "tenant", tenant: owner, terms };
}

function unproven(message: string): TenantFinding {
  return { kind: "unproven", message };
}

/** The id that the job gives itself, in its member or the header. */
export function findJobId(member: unknown, headers: ReadHeaders): JobIdFinding {
  if (member !== undefined && member !== null && typeof member !== "string") {
    return { kind: "bad", message: `jobId: expected a string, got ${kindOf(member)}` };
  }
  const inBody = member ?? null;
  if (inBody !== null && headers.jobId !== null && inBody !== headers.jobId) {
    return { kind: "bad", message: "jobId: expected the same id in the job and the header llm-job-id, got two" };
  }
  const jobId = inBody ?? headers.jobId;
  if (jobId === null) return { kind: "none" };
  const bytes = Buffer.byteLength(jobId);
  if (bytes === 0 || bytes > JOB_ID_BYTES_MAX) {
    return {
      kind: "bad",
      message: `jobId: expected 1 to ${String(JOB_ID_BYTES_MAX)} bytes of UTF-8, got ${String(bytes)}`,
    };
  }
  // The database's text has no place for it, and it would cut the id short wherever C code reads it.
  if (jobId.includes("\u0000"))
    return { kind: "bad", message: "jobId: expected text without the character NUL, got one with it" };
  return { kind: "job_id", jobId };
}

/** The id of a job that gives itself none. */
export function ownOrDerivedJobId(found: JobIdFinding, record: IncomingRecord, cluster: string): string | null {
  if (found.kind === "bad") return null;
  if (found.kind === "job_id") return found.jobId;
  const { topic, partition, offset } = record;
  return derivedJobId({ cluster, topic, partition, offset }, record.timestampMs);
}
