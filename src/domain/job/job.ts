import type { EpochMs } from "../ids.js";
import type { ErrorCode } from "../failure.js";
import type { RuleOutcome } from "../route/route-rules.js";

/** Request formats of the contract. What is not served yet is refused by name, so a typing error is told apart. */
export const REQUEST_FORMATS = [
  "openai.chat",
  "openai.responses",
  "openai.embeddings",
  "anthropic.messages",
  "gemini.generate",
  "gemini.embed",
  "cohere.chat",
  "cohere.embed",
] as const;
export type RequestFormat = (typeof REQUEST_FORMATS)[number];

export type JobMode = "auto" | "direct" | "batch";
/** Lowest first. */
export const TIERS = ["free", "standard", "premium"] as const;
export type Tier = (typeof TIERS)[number];

/** A record as Kafka handed it over. Header values are bytes; a name may repeat. `timestampMs` is the record's own. */
export interface IncomingRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: EpochMs;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly RecordHeader[];
}

export interface RecordHeader {
  readonly name: string;
  readonly value: Buffer;
}

/** Where the answer goes, and what is copied from the job's record to it. Rendered once into the ledger as `envelope`. */
export interface ReplyEnvelope {
  readonly topic: string;
  readonly partition: number | null;
  /** The job record's key, base64, or null. */
  readonly key: string | null;
  /** Copied headers in order: name, value in base64. */
  readonly headers: readonly (readonly [string, string])[];
}

export interface JobRequirements {
  readonly capabilities: readonly string[];
  readonly providers: readonly string[] | null;
  readonly selfHostedOnly: boolean;
  readonly regions: readonly string[] | null;
  readonly maxCostNanoUsd: bigint | null;
  readonly maxLatencyMs: number | null;
}

export interface ExpectedAnswer {
  readonly jsonSchema: boolean;
  readonly notEmpty: boolean;
  readonly complete: boolean;
}

/**
 * What decides which routes an execution may take. Part of the execution key, so two jobs that differ here never share a
 * call; stored with the execution as JSON, so that any router can plan its next attempt.
 */
export interface RoutePolicy {
  /** The model as the caller named it: an alias, `provider/model`, or a model's own name. */
  readonly model: string;
  readonly chain: string;
  readonly providers: readonly string[] | null;
  readonly capabilities: readonly string[];
  readonly selfHostedOnly: boolean;
  readonly regions: readonly string[] | null;
  readonly expect: ExpectedAnswer;
  readonly onDoubt: "retry" | "fail" | null;
  /** What the job's tenant may use, by account or `account/model`; left out: anything. This and what follows is only there where it says something, so that the keys of all other executions stay as they are. */
  readonly allowed?: readonly string[];
  /** The config's rules that spoke of the job when it was accepted. */
  readonly rules?: readonly RuleOutcome[];
  /** Only where something goes by it (candidates are chosen by score, or an account has limits by tier), and it is not `standard`. */
  readonly tier?: Tier;
  readonly maxLatencyMs?: number;
}

/** A job that passed admission: every field checked, every default filled in. */
export interface AdmittedJob {
  readonly record: RecordCoordinates;
  readonly tenant: string;
  readonly jobId: string;
  /** 16 bytes: SHA-256 of the id's UTF-8, truncated. */
  readonly idHash: Buffer;
  readonly format: RequestFormat;
  /** The request body as JSON text, the sender's own key order and number lexemes kept. */
  readonly bodyText: string;
  /** 16 bytes over format and canonical body: the same id with another hash is `ID_CONFLICT`. */
  readonly bodyHash: Buffer;
  /** 32 bytes: tenant, format, canonical body, sample and route policy. Hex of it is the result's `requestHash`. */
  readonly executionKey: Buffer;
  readonly mode: JobMode;
  readonly submittedAtMs: EpochMs;
  readonly deadlineMs: EpochMs;
  readonly priority: number;
  readonly tier: Tier;
  readonly labels: Readonly<Record<string, string>>;
  readonly requirements: JobRequirements;
  readonly policy: RoutePolicy;
  readonly dedupe: boolean;
  readonly cacheRead: boolean;
  readonly cacheWrite: boolean;
  /** How old a cached answer may be; null: any age that is still kept. */
  readonly cacheMaxAgeMs: number | null;
  readonly explain: boolean;
  readonly reply: ReplyEnvelope;
  /** Headers of its record that its result does not get, since they are beyond the limits of copying; left out: none. */
  readonly headersDropped?: number;
}

export interface RecordCoordinates {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What intake makes of one record. */
export type Admission =
  | { readonly kind: "job"; readonly job: AdmittedJob }
  | { readonly kind: "cancel"; readonly tenant: string; readonly jobId: string }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/**
 * A record that becomes no job. `identity` is there only when tenant and id are proven and the code publishes results; then a
 * failed result of generation -1 goes to `identity.reply`. The dead letter keeps the original record either way.
 */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly identity: RefusedIdentity | null;
}

export interface RefusedIdentity {
  readonly tenant: string;
  readonly jobId: string;
  readonly format: RequestFormat | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly submittedAtMs: EpochMs;
  readonly reply: ReplyEnvelope;
  /** As of an admitted job. */
  readonly headersDropped?: number;
}
