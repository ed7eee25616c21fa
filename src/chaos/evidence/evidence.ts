/**
 * The evidence of a run: everything that the checkers judge it by, gathered from outside the gateway. Plain data and nothing else: no
 * checker asks a server, and a run's evidence can be written down and judged again.
 *
 * Who says what: the publisher what it sent, the topics what came out (read from their first record), PostgreSQL what the ledger holds (read
 * through a client and SQL of its own), the simulator what it billed, the conductor what it broke and what it saw on the way.
 * Times are milliseconds since 1970-01-01 UTC. Whose clock, each field says: the conductor's is never jumped, a router's may be.
 * Money is nano-dollars. Unknown is null.
 */
import type { BillRow } from "../../demo/reader/bill-row.js";
import type { CostRecord } from "../../demo/reader/cost-record.js";
import type { ResultRecord } from "../../demo/reader/result-record.js";
import type { TopicRecord } from "../../demo/reader/topic-record.js";
import type { LedgerRows } from "./ledger-rows.js";

export type { BillRow } from "../../demo/reader/bill-row.js";
export type { CostRecord } from "../../demo/reader/cost-record.js";
export type { ResultAttempt, ResultRecord } from "../../demo/reader/result-record.js";
export type { TopicRecord } from "../../demo/reader/topic-record.js";
export type * from "./ledger-rows.js";

export interface Evidence {
  readonly run: RunParameters;
  readonly published: readonly PublishedRecord[];
  readonly topics: TopicEvidence;
  readonly ledger: LedgerRows;
  readonly bill: readonly BillRow[];
  /** Everything that was done to the run, in order. */
  readonly faults: readonly Fault[];
  readonly samples: Samples;
  /** Places that were searched for canaries besides the topics, whose bytes are here. */
  readonly sinks: readonly SinkReading[];
}

/** What the run was asked for, and by which limits it is judged. */
export interface RunParameters {
  readonly seed: number;
  readonly doubtPolicy: "retry" | "fail";
  readonly startedAtMs: number;
  /** When the last fault was over; liveness counts from here. */
  readonly faultsEndedAtMs: number;
  /** When nothing was left to do: every job ended, every record published. Null: that never came. */
  readonly settledAtMs: number | null;
  /** Whether `costs reconcile` was run on the simulator's bill after that. */
  readonly reconciled: boolean;
  /** A provider's call takes at most this long at the simulator, from its first byte to its row of the bill. */
  readonly callMsMax: number;
  readonly limits: RunLimits;
  readonly budgets: readonly BudgetLimit[];
  readonly canaries: readonly Canary[];
}

export interface RunLimits {
  /** From the end of the faults to `settledAtMs`. */
  readonly settleMs: number;
  /** How long a partition may stand still while it has lag and no fault is on. */
  readonly frozenPartitionMs: number;
  readonly rssBytes: number;
  /** How far descriptors may stand in the end above their highest look of the first half, as a part of it (0.1 = 10 %). */
  readonly aboveBaseline: number;
  /** Replays of one job. */
  readonly replays: number;
  /** Records that may be taken for those that end their readers (`CRASH_SUSPECT`), where kills met them again and again. */
  readonly suspects: number;
  /** How long an answer may serve equal requests; 0: not at all. */
  readonly cacheMaxAgeMs: number;
  /** How far a router's idea of the database's clock may be off. */
  readonly clockSkewMs: number;
}

/** A hard limit; `level` as in the ledger's rows, which holds the window too. */
export interface BudgetLimit {
  readonly level: string;
  readonly limitNanoUsd: bigint;
}

/** Text that must stay where it belongs. */
export interface Canary {
  /** For people; never the text. */
  readonly name: string;
  readonly text: string;
  /** `secret`: in no sink at all; `tenant`: only in records and rows of its tenant, and never in a log, metric or event. */
  readonly kind: "secret" | "tenant";
  /** Null exactly for a secret. */
  readonly tenant: string | null;
}

/** A number of the record, as decimal text, that each record of the publisher bears as a header and each result brings back. */
export const RECORD_NUMBER_HEADER = "chaos-number";

export type PublishedKind =
  /** A job under an id of its own. */
  | "job"
  /** A record with the id and the very request of an earlier one. */
  | "duplicate"
  /** A record with the id of an earlier one and another request. */
  | "conflict"
  /** A job that has to be refused at the door: a failed result of generation -1. */
  | "refused"
  /** Bytes that are no job. */
  | "malformed"
  | "cancel";

/** One record that the publisher sent. */
export interface PublishedRecord {
  /** From 0, unique in the run; its header `chaos-number`. */
  readonly number: number;
  readonly kind: PublishedKind;
  readonly topic: string;
  /** Null: never acknowledged, so that it may lie in the topic or not. */
  readonly place: { readonly partition: number; readonly offset: string } | null;
  readonly tenant: string;
  /** Null for malformed records. */
  readonly jobId: string | null;
  readonly format: string | null;
  readonly mode: "auto" | "direct" | "batch" | null;
  /** SHA-256 in hex of the value; of a null value, of no bytes. */
  readonly valueDigest: string;
  /** SHA-256 in hex of what makes two jobs of a tenant the same request: format, body, sample; null for what is no job. */
  readonly requestKey: string | null;
  /** What an answer to it must bear as `digest=`: see `promptDigest` of the demo's reader; null for what is no job. */
  readonly promptDigest: string | null;
  /** The error code that a refused, malformed or conflicting record must get; null: none, or any. */
  readonly code: string | null;
  /** False: it said `"dedupe": false`. */
  readonly shared: boolean;
  /** By which its result must be there; as the job says it, or as its time to live comes to. Null: it said nothing. */
  readonly deadlineMs: number | null;
  /** The record's key in base64; null without one. */
  readonly key: string | null;
  /** The header `kafka_correlationId` in base64; null without one. */
  readonly correlation: string | null;
  /** By the conductor's clock, when it was given to the client. */
  readonly sentAtMs: number;
}

/** Everything that lies in the topics, in order of partition and offset. */
export interface TopicEvidence {
  /** The jobs topics, without their values. */
  readonly inputs: readonly InputRecord[];
  readonly results: readonly ResultRecord[];
  readonly costs: readonly CostRecord[];
  readonly deadLetters: readonly DeadLetterRecord[];
  readonly events: readonly EventRecord[];
  /** Records of the topics of results, costs, dead letters and events that are not what their topic promises. */
  readonly unreadable: readonly TopicRecord[];
}

export interface InputRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly timestampMs: number;
  /** From its header `chaos-number`; null: none of the publisher's. */
  readonly number: number | null;
  readonly valueDigest: string;
}

export interface DeadLetterRecord {
  readonly record: TopicRecord;
  readonly code: string;
  readonly errorClass: string | null;
  /** `intake`, `dispatch` … */
  readonly stage: string | null;
  readonly message: string | null;
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: string } | null;
  readonly attempts: number | null;
  readonly replayCount: number | null;
}

export interface EventRecord {
  readonly record: TopicRecord;
  readonly eventId: string;
  readonly kind: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly message: string;
  /** Facts as text. */
  readonly details: Readonly<Record<string, string>>;
  readonly atMs: number | null;
}

export type FaultKind =
  /** SIGKILL from outside, at any moment. */
  | "router_kill"
  /** The router killed itself at a named point. */
  | "crash_point"
  /** SIGSTOP to SIGCONT. */
  | "router_stop"
  /** SIGTERM and a start of another. */
  | "router_restart"
  | "broker_kill"
  | "postgres_kill"
  | "redis_kill"
  | "redis_flush"
  | "registry_kill"
  | "simulator_kill"
  /** Connections cut, or nothing let through. */
  | "network_cut"
  | "network_slow"
  | "clock_jump"
  | "provider_fault"
  | "rebalance"
  /** An operator's replay of dead letters; several may run at once. */
  | "replay"
  | "cancel";

/** One thing that was done to the run. Times by the conductor's clock. */
export interface Fault {
  readonly kind: FaultKind;
  readonly atMs: number;
  /** When it was over: the process was there again, went on or was let through; null: it never was, or had no length. */
  readonly untilMs: number | null;
  /** Which router, broker, path or rule. */
  readonly target: string;
  readonly pid: number | null;
  /** The signal that ended the process, as its parent saw it: what a kill is counted by. Null: no process ended. */
  readonly signal: string | null;
  /** Name of the crash point, read from the victim's last write; null for other kinds. */
  readonly point: string | null;
  /** Calls to providers that were open then and whose outcome this fault may hide: of the router, or over the path. Null: not known. */
  readonly callsInAir: number | null;
  /** Whether it had work: calls in the air, lines or records on their way. */
  readonly workInFlight: boolean;
  /** Anything else, for the history. */
  readonly detail: string | null;
}

/** What the conductor saw on the way, each kind in order of time. Times by the conductor's clock. */
export interface Samples {
  readonly budgets: readonly BudgetSample[];
  readonly offsets: readonly OffsetSample[];
  readonly processes: readonly ProcessSample[];
  readonly queues: readonly QueueSample[];
}

/** `baseline`: before the first job; `settled`: after everything had ended, and costs were reconciled where they were. */
export type Phase = "baseline" | "running" | "settled";

/** One budget's row and the reservations that make up its sum, read by one statement. */
export interface BudgetSample {
  readonly atMs: number;
  readonly phase: Phase;
  readonly level: string;
  readonly sinceMs: number;
  readonly settledNanoUsd: bigint;
  readonly reservedNanoUsd: bigint;
  /** Sum over the attempts whose rows say that this budget holds their maximum, and how many they are. */
  readonly reservationsNanoUsd: bigint;
  readonly reservations: number;
  /** Of the attempts of those: in `sending`, `batched`, `in_doubt` or `settled`. */
  readonly unfinished: number;
}

/** One partition of a jobs topic. The committed offset is read first, then the ledger's position, then the log's end. */
export interface OffsetSample {
  readonly atMs: number;
  readonly phase: Phase;
  readonly topic: string;
  readonly partition: number;
  /** Null: nothing committed so far. */
  readonly committed: string | null;
  /** The next offset that the ledger will accept; null: it does not know the partition. */
  readonly ledgerNext: string | null;
  readonly logEnd: string;
}

export interface ProcessSample {
  readonly atMs: number;
  readonly phase: Phase;
  readonly router: string;
  readonly pid: number;
  readonly rssBytes: number;
  readonly descriptors: number;
}

/** Counts of rows that wait for somebody. */
export interface QueueSample {
  readonly atMs: number;
  readonly phase: Phase;
  readonly outboxReady: number;
  readonly ready: number;
  readonly batchReady: number;
  readonly activeJobs: number;
}

/** One place that was read through and searched for every canary. */
export interface SinkReading {
  readonly kind: "log" | "ledger" | "redis" | "metrics" | "admin" | "journal";
  /** File, table, key or address. */
  readonly name: string;
  /** How much was read; a sink without a byte proves nothing. */
  readonly bytes: number;
  /** Only those that were found. */
  readonly hits: readonly CanaryHit[];
}

export interface CanaryHit {
  readonly canary: string;
  readonly count: number;
  /** The tenant whose row it is where the place has one: a tenant's own text may lie there. Null: it is nobody's. */
  readonly tenant: string | null;
  /** `topic:partition:offset` of the record that the row keeps unread: it is the row of whoever sent that. Left out: the row keeps none. */
  readonly source?: string;
  readonly where: string;
}

/** An objection of a checker. */
export interface Violation {
  /** The checker that raised it. */
  readonly checker: string;
  /** Which rule of it, in snake case. */
  readonly rule: string;
  readonly tenant: string | null;
  /** Null when no job can be named. */
  readonly jobId: string | null;
  readonly detail: string;
}
