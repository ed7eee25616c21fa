import type { SpentAccounts } from "../../../src/pipeline/budget/spent-accounts.js";
import type { SessionNo } from "../../../src/domain/ids.js";
import type { JobAdmission } from "../../../src/domain/job/admit.js";
import type { JobsConsumer, Publisher, RecordRun } from "../../../src/ports/broker.js";
import type { InboxPosition } from "../../../src/ports/ledger.js";
import type { Catalog } from "../../../src/domain/route/catalog.js";
import type { BatchProvider } from "../../../src/ports/batch-provider.js";
import type { BatchAccountSettings } from "../../../src/pipeline/batch/batch-settings.js";
import type { ReachPoint } from "../../../src/ports/crash-points.js";
import type { Journal } from "../../../src/ports/journal.js";
import type { Provider } from "../../../src/ports/provider.js";
import type { ValueDecoder } from "../../../src/ports/value-decoder.js";
import type { Metrics } from "../../../src/ports/metrics.js";
import type { Clock, Log } from "../../../src/ports/system.js";
import { InboxConsumer, type InboxSettings } from "../../../src/adapters/kafka/inbox-consumer.js";
import { PartitionAlerts } from "../../../src/app/partition-alerts.js";
import { Session } from "../../../src/app/session/session.js";
import type { ConsumerEars, SessionParts, SessionSettings } from "../../../src/app/session/session-parts.js";
import { LISTED_ONLY } from "../../../src/pipeline/dispatch/route-chooser.js";
import type { FakeBroker } from "./fake-broker.js";
import { fakeKafka } from "./fake-kafka-client.js";
import { ACCOUNTS, JOBS_TOPIC, RENDER_SETTINGS, SIDE_TOPIC } from "./fixture.js";
import { LedgerAway } from "./memory-database.js";
import type { MemoryLedger } from "./memory-ledger.js";
import type { Life, World } from "./world.js";

/** Small numbers, so that each bound is met within a few records. */
const SETTINGS: Omit<SessionSettings, "accounts" | "pending" | "batching" | "rescue"> = {
  beats: { beatMs: 3000, stopAfterMs: 9000, deadAfterMs: 15_000 },
  delivery: {
    attemptsMax: 5,
    backoffBaseMs: 300,
    backoffMaxMs: 3000,
    retryAfterMaxMs: 60_000,
    claimSizeMax: 4,
    idlePollMs: 1500,
    // Short enough that some of the simulated connections take longer.
    sendWithinMs: 50,
    unsentMax: 100,
    sweepAfterMs: 2000,
    undeliverableAfterMs: 10_000,
  },
  groups: { sizeMax: 5, waitMs: 5, queuedMax: 6, queuedBytesMax: 16_777_216, slotWaitMs: 250, writesAtOnce: 2 },
  watchesSpending: false,
  relay: {
    recordsMax: 50,
    bytesMax: 100_000,
    refusedRecordsMax: 50,
    recordsPerSend: 8,
    bytesPerSend: 20_000,
    costWaitMs: 0,
    replyTopics: new Set([SIDE_TOPIC]),
  },
  // A few failures open it, so that seeds with much trouble see trials and ramps.
  health: {
    degradedAfter: 2,
    openAfter: 4,
    failureRate: 0.7,
    rateCallsMin: 10,
    rateWindowMs: 20_000,
    cooldownMs: 1000,
    accountCooldownMs: 3000,
    cooldownMaxMs: 4000,
    rampMs: 3000,
    lookEveryMs: 1500,
  },
  resultBytesMax: 1_000_000,
  watchdogMs: 45_000,
  shutdownGraceMs: 12_000,
  jobsTopics: [JOBS_TOPIC],
};
/** Only its topics and the heartbeat matter to the simulated client. */
const CONSUMER: InboxSettings = {
  groupId: "sluice",
  topics: [JOBS_TOPIC],
  sessionTimeoutMs: 6000,
  heartbeatMs: 1500,
  maxWaitMs: 200,
  partitionsAtOnce: 1,
  bytesMax: 1_000_000,
  bytesPerPartition: 1_000_000,
};
const BATCHING: SessionSettings["batching"] = {
  lookEveryMs: 600,
  turnaroundPriorMs: 5000,
  turnaroundWindowMs: 600_000,
  turnaroundsMax: 50,
  pollMinMs: 200,
  pollMaxMs: 3000,
  stepsAtOnce: 3,
  callTimeoutMs: 1500,
  transferTimeoutMs: 4000,
  resultLineBytesMax: 20_000,
  groupSizeMax: 2,
  eraseAfterMs: 2000,
  scanForMs: 60_000,
};
const BATCHES: Omit<BatchAccountSettings, "createGraceMs"> = {
  way: null,
  linesMax: null,
  bytesMax: null,
  enqueuedTokensMax: null,
  openBatchesMax: 3,
  flushAfterMs: 800,
};
/** Lines of groups that are called at once. */
const LINES_AT_ONCE = 3;
/** A line that is out for some seconds is soon near enough to its deadline. */
const RESCUE = { lookEveryMs: 700, callPriorMs: 1000 } as const;
/** What most requests of a scenario may cost at most; the long ones more. */
const RESCUE_MAX_NANO_USD = 2_000_000n;
const ACCOUNT: Readonly<Record<"concurrency" | "callTimeoutMs" | "connectTimeoutMs", number>> = {
  concurrency: 6,
  callTimeoutMs: 8000,
  connectTimeoutMs: 1000,
};
const DOUBT = { retryMaxNanoUsd: 50_000_000n, graceMs: 4000 } as const;
const NO_METRICS: Metrics = { count: () => undefined, set: () => undefined, observe: () => undefined };

export interface RouterParts {
  readonly world: World;
  readonly life: Life;
  readonly broker: FakeBroker;
  readonly ledger: MemoryLedger;
  /** What its ledger has seen of accounts. */
  readonly spending?: SpentAccounts;
  /** False when left out. */
  readonly watchesSpending?: boolean;
  readonly publisher: Publisher;
  readonly providers: ReadonlyMap<string, Provider>;
  /** Empty: no account has a batch API. */
  readonly batchProviders: ReadonlyMap<string, BatchProvider>;
  /** Accounts whose lines are called in groups. */
  readonly grouped: readonly string[];
  readonly catalog: Catalog;
  /** Left out: those of the fixture. */
  readonly accounts?: readonly string[];
  /** What is not as small as in the seeds. */
  readonly account?: Partial<typeof ACCOUNT>;
  readonly settings?: Partial<SessionSettings>;
  readonly admission: JobAdmission;
  readonly doubtPolicy: "retry" | "fail";
  readonly openJournal: (session: SessionNo) => Promise<Journal>;
  readonly aheadChance: () => number;
  readonly decoder: ValueDecoder;
  readonly marks: SessionSettings["pending"];
  readonly turned: (paused: boolean) => void;
  /** Fetching stops for these reasons. */
  readonly paused: (reasons: readonly unknown[]) => void;
  /** A change of a batch came second: another session has it. */
  readonly wasSecond: () => void;
  /** So long creates that nothing fences are waited for. */
  readonly createGraceMs: number;
  /** Whether calls may be made beside lines whose deadlines are near. */
  readonly rescues: boolean;
  /** Asked before records are read; true: the process dies of one of them. */
  readonly diesOf: (run: RecordRun) => boolean;
  /** An event that the product logs as an error: a refused group, a broken stage. */
  readonly logged: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly opened: (session: SessionNo) => void;
  /** Left out: nobody counts. */
  readonly metrics?: Metrics;
  /** Told of each named place that it passes. */
  readonly reach?: ReachPoint;
}

/** One router process: the product's own session on the simulated clock, broker, ledger and providers. */
export class SimulatedRouter {
  readonly #parts: RouterParts;
  readonly #clock: Clock;
  readonly #session: SessionParts;
  readonly #term = new AbortController();

  constructor(parts: RouterParts) {
    this.#parts = parts;
    this.#clock = parts.world.clock(parts.life);
    this.#session = this.#sessionParts();
  }

  /** SIGTERM. */
  terminate(): void {
    this.#term.abort();
  }

  /** Sessions one after another until SIGTERM; never resolves for a router that was killed. */
  async run(): Promise<void> {
    while (!this.#term.signal.aborted) {
      try {
        const session = await Session.open(this.#session, this.#parts.life.name);
        this.#parts.opened(session.no);
        await session.run(this.#term.signal);
      } catch (error) {
        if (!(error instanceof LedgerAway)) throw error;
        // Serial: the next try only makes sense later.
        await this.#clock.sleep(200);
      }
    }
  }

  #sessionParts(): SessionParts {
    const {
      world,
      broker,
      ledger,
      spending,
      publisher,
      providers,
      batchProviders,
      admission,
      catalog,
      doubtPolicy,
      marks,
    } = this.#parts;
    const { grouped, createGraceMs } = this.#parts;
    const inDoubt = { ...DOUBT, policy: doubtPolicy };
    const batch = { ...BATCHES, createGraceMs, concurrency: LINES_AT_ONCE };
    const hasBatches = (name: string): boolean => batchProviders.has(name) || grouped.includes(name);
    const account = (name: string) => ({
      ...ACCOUNT,
      ...this.#parts.account,
      inDoubt,
      batch: hasBatches(name) ? batch : null,
    });
    return {
      ports: {
        ledger,
        mendable: (error) => error instanceof LedgerAway,
        rehearse: () => Promise.resolve(),
        openConsumer: (ears) => this.#openConsumer(ears),
        noteStop: (session, stopped) => ledger.noteStop(session, stopped),
        offsets: (_topic, partition) => Promise.resolve(broker.bounds(partition)),
        publisher,
        ...(spending === undefined ? {} : { spending }),
        openJournal: this.#parts.openJournal,
        providers,
        batchProviders,
        checkSchema: () => ({ kind: "fits" }), // no job of the scenario expects one
        clock: this.#clock,
        random: world.random,
        log: this.#log(),
        metrics: this.#parts.metrics ?? NO_METRICS,
        alerts: new PartitionAlerts(),
        ...(this.#parts.reach === undefined ? {} : { reach: this.#parts.reach }),
      },
      rules: { admission, catalog, routing: LISTED_ONLY, renderSettings: RENDER_SETTINGS },
      settings: {
        ...SETTINGS,
        // Without batches nothing is ever in a pool.
        batching: batchProviders.size + grouped.length === 0 ? { ...BATCHING, pollMaxMs: 60_000 } : BATCHING,
        rescue: { ...RESCUE, maxNanoUsd: new Map(this.#parts.rescues ? [["sim", RESCUE_MAX_NANO_USD]] : []) },
        pending: marks,
        accounts: new Map((this.#parts.accounts ?? ACCOUNTS).map((name) => [name, account(name)])),
        watchesSpending: this.#parts.watchesSpending ?? false,
        ...this.#parts.settings,
      },
    };
  }

  #openConsumer({ session, sink, alert }: ConsumerEars): JobsConsumer {
    const { broker, ledger, decoder, diesOf } = this.#parts;
    return new InboxConsumer({
      kafka: fakeKafka({
        ...this.#parts,
        crashed: (error) => {
          this.#crashed(error);
        },
      }),
      settings: CONSUMER,
      // What dies never goes on.
      sink: { offer: (run) => (diesOf(run) ? new Promise(() => undefined) : sink.offer(run)) },
      position: (topic, partition) => this.#position(topic, partition),
      openPosition: (topic, partition, next) => ledger.openPosition(topic, partition, next),
      turns: {
        session,
        begin: (topic, partition) => ledger.beginTurn(session, topic, partition),
        mark: (topic, partition) => ledger.mark(topic, partition),
        markRecords: (records) => ledger.markRecords(session, records),
      },
      offsets: (_topic, partition) => Promise.resolve(broker.bounds(partition)),
      decoder,
      clock: this.#clock,
      log: this.#log(),
      alert,
      ...(this.#parts.reach === undefined ? {} : { reach: this.#parts.reach }),
    });
  }

  /** At times it is further than what the ledger will say next: a failover that lost the ledger's tail lies in between. */
  async #position(topic: string, partition: number): Promise<InboxPosition | null> {
    const { world, broker, ledger, aheadChance } = this.#parts;
    const position = await ledger.position(topic, partition);
    if (position === null || !world.random.chance(aheadChance())) return position;
    // Never so far that no record is left to notice it by.
    const end = Math.max(broker.bounds(partition).high - 1, position.next);
    const next = Math.min(position.next + world.random.between(1, 4), end);
    return next === position.next ? position : { next, witness: null };
  }

  /** The client starts anew whatever its handler throws; only what the ledger's absence explains may be thrown. */
  #crashed(error: unknown): void {
    if (!(error instanceof LedgerAway)) this.#parts.logged("consumer.broke", { error });
  }

  #log(): Log {
    const quiet = (): undefined => undefined;
    return {
      debug: quiet,
      info: quiet,
      warn: (event, fields) => {
        if (event === "batch.save_was_second") this.#parts.wasSecond();
        const reasons = fields?.["reasons"];
        if (event === "intake.paused" && Array.isArray(reasons)) this.#parts.paused(reasons);
      },
      error: (event, fields) => {
        this.#parts.logged(event, fields ?? {});
      },
    };
  }
}
