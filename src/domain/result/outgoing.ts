import type { EpochMs, LedgerKey } from "../ids.js";
import type { AdmittedJob } from "../job/job.js";
import type { ErrorCode, Failure } from "../failure.js";
import type { AttemptIntent, AttemptSummary, EndedState, ServedAnswer } from "../execution/execution.js";
import type { WaitReason } from "../execution/waits.js";
import type { PooledLine } from "../batch/queued-line.js";
import type { Usage } from "../cost/usage.js";
import type { RouteDecision } from "../route/route-decision.js";
import type { Stage } from "../stage.js";
import type { GatewayEvent } from "../event/event.js";

/** The original record, kept for a dead letter. Headers as JSON text: `[[name, base64], …]`. */
export interface KeptRecord {
  readonly value: Buffer | null;
  readonly headersText: string;
}

export interface IntakeJob {
  readonly no: number;
  readonly job: AdmittedJob;
  readonly record: KeptRecord;
  /** The call to make if this job opens an execution; null: it waits as a row. */
  readonly intent: AttemptIntent | null;
  /** What it waits as if this job opens an execution for a batch. Never beside an intent. */
  readonly pooled?: PooledLine;
  /** What it waits for if this job opens an execution that waits as a row; left out: a place. */
  readonly waits?: IntakeWait;
  /** Only there where there was something to choose. */
  readonly decision?: RouteDecision;
  /** Most that an identical call in doubt may have cost for another to be made beside it, nano-dollars; null: none may. */
  readonly riskNanoUsd: bigint | null;
}

export interface IntakeWait {
  readonly runAtMs: EpochMs;
  readonly waitsFor: WaitReason;
  /** The limit by whose name it is taken when there are grants; left out: it is taken when it is due. */
  readonly limit?: string;
}

/** A record that becomes no job, already rendered: its dead letter and, where identity is proven, its failed result. */
export interface RefusedRecord {
  readonly no: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly code: ErrorCode;
  readonly message: string;
  readonly record: KeptRecord;
  readonly outgoing: readonly Outgoing[];
}

export type Served = "call" | "coalesced" | "exact_cache";

/** A job as the ledger returns it when it ends: all that its result, cost record and dead letter are rendered from. */
export interface EndingJob {
  readonly key: LedgerKey;
  readonly tenant: string;
  readonly jobId: string;
  readonly generation: number;
  readonly execution: LedgerKey | null;
  readonly status: EndedState;
  readonly acceptedAtMs: EpochMs;
  /** JSON text written by `renderEnvelope`. */
  readonly envelope: string;
  /** Only there when the job failed: what the dead letter carries. */
  readonly record: KeptRecord | null;
}

/** Why a job ended, for rendering. */
export interface JobEnd {
  readonly answer: ServedAnswer | null;
  readonly failure: Failure | null;
  readonly served: Served;
  /** Key of the job that pays for the execution; cost records of the others are shared. */
  readonly payer: LedgerKey | null;
  readonly history: readonly AttemptSummary[];
  /** Where it ended, for its dead letter: with an attempt, the stage of that. */
  readonly stage: Stage;
  readonly endedAtMs: EpochMs;
}

export interface CostRow {
  readonly no: number;
  readonly day: number;
  readonly kind: "charge" | "adjustment";
  readonly billing: "charged" | "shared" | "cached" | "waste" | "in_doubt" | "suspect";
  readonly tenant: string;
  readonly job: LedgerKey | null;
  readonly attemptNo: number | null;
  readonly account: string;
  readonly model: string;
  readonly nanoUsd: bigint | null;
  readonly maxNanoUsd: bigint;
  readonly listNanoUsd: bigint;
}

export interface DeadLetterRow {
  readonly code: ErrorCode;
  readonly message: string;
  readonly outgoing: Outgoing;
}

export interface RenderedEnd {
  readonly outgoing: readonly Outgoing[];
  readonly cost: CostRow | null;
  readonly deadLetter: DeadLetterRow | null;
}

/** Pure functions of the domain that a ledger calls inside its transaction, between the rows it read and those it writes. */
export interface Renderer {
  readonly end: (job: EndingJob, end: JobEnd) => RenderedEnd;
  /** The cost record of an attempt that stays in doubt, or whose answer came too late to serve anybody. */
  readonly lateCost: (input: LateCost) => { readonly outgoing: Outgoing; readonly cost: CostRow };
  /** The result again, for a newer record with the same id and body. */
  readonly repeat: (original: Outgoing, envelope: string, no: number, day: number) => Outgoing;
  /** The dead letter and the event of a record whose id is taken by another body. */
  readonly conflict: (job: IntakeJob, day: number) => RefusedRecord;
  /** What somebody must notice. `no`: a number of this event's own. */
  readonly event: (event: GatewayEvent, no: number, day: number) => Outgoing;
  /** The dead letter about a record that its topic does not take. */
  readonly undeliverable: (input: Undeliverable) => DeadLetterRow;
  /** A dead letter that its topic does not take, without value and original headers; null when it goes without them already. */
  readonly shortened: (letter: Outgoing, no: number, day: number) => Outgoing | null;
}

/** A refused record, and the job's record that led to it. */
export interface Undeliverable {
  readonly no: number;
  readonly day: number;
  readonly refused: Outgoing;
  readonly reason: string;
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number };
  readonly key: Buffer | null;
  readonly record: KeptRecord;
  readonly attempts: number;
  readonly generation: number;
  /** How often operators have sent the record again. */
  readonly redeliveries: number;
}

export interface LateCost {
  readonly tenant: string;
  readonly execution: LedgerKey;
  readonly payer: { readonly jobId: string; readonly generation: number; readonly envelope: string } | null;
  readonly attempt: AttemptIntent;
  /** Only there for a line of a batch that the provider has a name for. */
  readonly providerBatchId?: string | null;
  readonly billing: "in_doubt" | "waste" | "charged";
  readonly nanoUsd: bigint | null;
  readonly usage: Usage;
  /** The model that answered; left out while there is no answer. */
  readonly modelVersion?: string | null;
  /** Null while nothing is priced: a doubt has only its maximum. */
  readonly priceVersion: string | null;
  /** The cost record that this one corrects; null for a first record. */
  readonly correctsNo: number | null;
  readonly no: number;
  readonly atMs: EpochMs;
}

/** A record on its way to Kafka, rendered once. `(kind, no, day)` is its key in the outbox. */
export interface Outgoing {
  readonly kind: "result" | "cost" | "dead_letter" | "event" | "repeat";
  readonly no: number;
  readonly day: number;
  readonly topic: string;
  readonly partition: number | null;
  readonly key: Buffer | null;
  readonly headers: readonly (readonly [string, Buffer | string])[];
  readonly value: Buffer | null;
}
