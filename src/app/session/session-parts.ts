import type { NoticeLimits } from "../../domain/alert/notice.js";
import type { AlertSettings } from "../../domain/alert/settings.js";
import type { PartitionAlert, StoppedPartition } from "../../domain/event/partition-event.js";
import type { DoubtPolicy } from "../../domain/execution/doubt-policy.js";
import type { AccountLimits } from "../../domain/limit/limits.js";
import type { SessionNo } from "../../domain/ids.js";
import type { JobAdmission } from "../../domain/job/admit.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { RenderSettings } from "../../domain/result/rendering.js";
import type { Catalog } from "../../domain/route/catalog.js";
import type { RetryLimits } from "../../domain/route/next-attempt.js";
import type { RouteConditions } from "../../domain/route/route-condition.js";
import type { RescueLimits } from "../../domain/route/rescue.js";
import type { BreakerSettings } from "../../domain/health/breaker.js";
import type { Journal } from "../../ports/journal.js";
import type { BatchLedger } from "../../ports/batch-ledger.js";
import type { BatchProvider } from "../../ports/batch-provider.js";
import type { JobsConsumer, Publisher, RecordSink } from "../../ports/broker.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { HealthStore } from "../../ports/health-store.js";
import type { Ledger } from "../../ports/ledger.js";
import type { LimitStore } from "../../ports/limit-store.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Provider } from "../../ports/provider.js";
import type { CheckSchema } from "../../ports/schema-check.js";
import type { TokenEstimates } from "../../ports/token-estimates.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { BatchAccountSettings, BatchingSettings } from "../../pipeline/batch/batch-settings.js";
import type { LimitEars } from "../limit-ears.js";
import type { RoutingSettings } from "../../pipeline/dispatch/route-chooser.js";
import type { AlertLedger } from "../../ports/alert-ledger.js";
import type { Webhook } from "../../ports/webhook.js";
import type { PartitionAlerts } from "../partition-alerts.js";

/** All that a session is made of comes from outside: adapters and the config in a router, the simulated world in the simulation. */
export interface SessionParts {
  readonly ports: SessionPorts;
  readonly rules: SessionRules;
  readonly settings: SessionSettings;
  /** Left out: nobody looks for alerts. */
  readonly alerting?: Alerting;
}

export interface Alerting {
  readonly ledger: AlertLedger;
  readonly settings: AlertSettings;
  /** Null: nobody outside is told. */
  readonly webhook: {
    readonly webhook: Pick<Webhook, "send">;
    readonly limits: NoticeLimits;
    readonly timeoutMs: number;
  } | null;
}

export interface SessionPorts {
  readonly ledger: Ledger & BatchLedger & HealthStore;
  /** Whether a failure of the ledger is trouble that waiting mends. */
  readonly mendable: (error: unknown) => boolean;
  /** Done while the consumer joins its group. A session that can't is slow at first, not wrong. */
  readonly rehearse: (session: SessionNo, render: Renderer) => Promise<void>;
  readonly openConsumer: (ears: ConsumerEars) => JobsConsumer;
  /** Writes down for operators that a session stopped a partition. */
  readonly noteStop: (session: SessionNo, stopped: StoppedPartition) => Promise<void>;
  /** First and next offset of a partition at the broker. */
  readonly offsets: (topic: string, partition: number) => Promise<{ readonly low: number; readonly high: number }>;
  readonly publisher: Publisher;
  /** One for each session. @throws when it can't be kept where the config says. */
  readonly openJournal: (session: SessionNo) => Promise<Journal>;
  /** By account. */
  readonly providers: ReadonlyMap<string, Provider>;
  /** Which accounts have spent their day, or have something left of their commitment; left out: nobody knows. */
  readonly spending?: Pick<RouteConditions, "spent" | "committedLeft">;
  /** By account, of those whose config has batches. */
  readonly batchProviders: ReadonlyMap<string, BatchProvider>;
  /** Left out: a request is held against context windows by its bytes alone. */
  readonly tokenEstimates?: TokenEstimates;
  /** Rate limits that all routers share; null or left out: each keeps to its share by itself. */
  readonly limitStore?: LimitStore | null;
  /** What providers say of their limits; left out: nothing is heard. */
  readonly limitEars?: LimitEars;
  /** For answers that have to keep to a schema. */
  readonly checkSchema: CheckSchema;
  readonly clock: Clock;
  /** The machine's own wall clock; that of `clock` when left out. */
  readonly wallMs?: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Of the process, beyond one session. */
  readonly alerts: PartitionAlerts;
  /** For tests of kills; left out: nobody is told. */
  readonly reach?: ReachPoint;
}

/** Who hears what a consumer reads and finds. */
export interface ConsumerEars {
  readonly session: SessionNo;
  readonly sink: RecordSink;
  readonly alert: (alert: PartitionAlert) => void;
}

/** What the domain was built with. */
export interface SessionRules {
  readonly admission: JobAdmission;
  readonly catalog: Catalog;
  readonly routing: RoutingSettings;
  readonly renderSettings: RenderSettings;
}

/** The slice of the config that a session reads; what the keys mean is said in the config's schema. */
export interface SessionSettings {
  readonly beats: { readonly beatMs: number; readonly stopAfterMs: number; readonly deadAfterMs: number };
  readonly accounts: ReadonlyMap<string, AccountSettings>;
  readonly batching: BatchingSettings;
  readonly rescue: RescueSettings;
  readonly health: HealthSettings;
  /** Whether what accounts have spent is looked at from time to time: some may only spend so much a day, or have paid for so much a month. */
  readonly watchesSpending: boolean;
  readonly delivery: DeliverySettings;
  readonly groups: GroupSettings;
  readonly pending: {
    readonly jobsMax: number;
    readonly bytesMax: number;
    readonly outboxRowsMax: number;
    readonly resumeAt: number;
  };
  readonly relay: RelaySettings;
  readonly resultBytesMax: number;
  readonly watchdogMs: number;
  readonly shutdownGraceMs: number;
  /** For the log. */
  readonly jobsTopics: readonly string[];
}

interface RescueSettings extends RescueLimits {
  /** The p95 of a call that is believed before enough have been answered. */
  readonly callPriorMs: number;
}

interface HealthSettings extends BreakerSettings {
  readonly lookEveryMs: number;
}

export interface InDoubtSettings extends DoubtPolicy {
  readonly graceMs: number;
}

interface AccountSettings {
  readonly concurrency: number;
  /** Left out: none but places. */
  readonly limits?: AccountLimits;
  readonly callTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly inDoubt: InDoubtSettings;
  /** Null: no batches of this account. */
  readonly batch: BatchAccountSettings | null;
}

interface GroupSettings {
  readonly sizeMax: number;
  readonly waitMs: number;
  readonly queuedMax: number;
  readonly queuedBytesMax: number;
  readonly slotWaitMs: number;
  readonly writesAtOnce: number;
}

interface RelaySettings {
  readonly recordsMax: number;
  readonly bytesMax: number;
  readonly refusedRecordsMax: number;
  readonly recordsPerSend: number;
  readonly bytesPerSend: number;
  readonly costWaitMs: number;
  /** Topics that tenants chose for their results. */
  readonly replyTopics: ReadonlySet<string>;
}

interface DeliverySettings extends RetryLimits {
  readonly claimSizeMax: number;
  readonly idlePollMs: number;
  readonly unsentMax: number;
  readonly sendWithinMs: number;
  readonly sweepAfterMs: number;
  readonly undeliverableAfterMs: number;
}
