import type { Kafka } from "kafkajs";
import type { Config } from "../config/config.js";
import { ownReplyTopics } from "../config/topic-list.js";
import type { GatewayEvent } from "../domain/event/event.js";
import { partitionEvent, type PartitionAlert } from "../domain/event/partition-event.js";
import type { SessionNo } from "../domain/ids.js";
import type { Log } from "../ports/system.js";
import type { ValueDecoder } from "../ports/value-decoder.js";
import type { Metrics } from "../ports/metrics.js";
import type { Provider } from "../ports/provider.js";
import { answeredPrice } from "../domain/route/catalog.js";
import { createRoutePlanner } from "../domain/route/plan-routes.js";
import { createRenderer } from "../domain/result/render.js";
import type { ValueEncoders } from "../domain/result/rendering.js";
import { ConsumerWatchdog, type PartitionLook } from "../adapters/kafka/consumer-watchdog.js";
import { InboxConsumer } from "../adapters/kafka/inbox-consumer.js";
import { RecordPublisher } from "../adapters/kafka/record-publisher.js";
import type { ClusterFacts } from "../adapters/kafka/cluster-facts.js";
import { isConnectionTrouble, type Pools } from "../adapters/postgres/connection.js";
import { LedgerContext } from "../adapters/postgres/ledger-context.js";
import { PostgresLedger } from "../adapters/postgres/postgres-ledger.js";
import type { StoppedPartition } from "../adapters/postgres/stops.js";
import { createProvider } from "../adapters/providers/create-provider.js";
import { systemClock } from "../adapters/system/system-clock.js";
import { systemRandom } from "../adapters/system/system-random.js";
import { Caller } from "../pipeline/dispatch/caller.js";
import { DispatchStage } from "../pipeline/dispatch/dispatch-stage.js";
import { GiveBack } from "../pipeline/dispatch/give-back.js";
import { NumberSource } from "../pipeline/dispatch/number-source.js";
import { Slots } from "../pipeline/dispatch/slots.js";
import type { Work } from "../pipeline/dispatch/work.js";
import { FinishStage, reportEnds } from "../pipeline/finish/finish-stage.js";
import { IntakePlanner } from "../pipeline/intake/intake-planner.js";
import { IntakeStage } from "../pipeline/intake/intake-stage.js";
import { persist } from "../pipeline/persist.js";
import { RelayStage } from "../pipeline/relay/relay-stage.js";
import { SessionKeeper } from "../pipeline/session/session-keeper.js";
import { buildAdmission, buildCatalog, buildLedgerSettings, buildRenderSettings } from "./build-domain.js";
import type { PartitionAlerts } from "./partition-alerts.js";

export interface SessionOptions {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly pools: Pools;
  readonly kafka: Kafka;
  readonly cluster: ClusterFacts;
  readonly name: string;
  readonly decoder: ValueDecoder | null;
  /** Of the process, beyond one session. */
  readonly alerts: PartitionAlerts;
  readonly encoders: ValueEncoders;
}

const SLOT_WAIT_MS = 50;
const LOAD_EVERY_MS = 1000;
const STOPPED_EVERY_MS = 1000;
const RELAY_RECORDS_MAX = 20_000;
/** A tenant whose reply topic is missing gets dead letters from here on, which a replay delivers without a call. */
const RELAY_REFUSED_RECORDS_MAX = 10_000;
const RELAY_RECORDS_PER_SEND = 1000;
/** Below Kafka's default limit of a record batch, since all records of a send may go to one partition. */
const RELAY_BYTES_PER_SEND = 1_000_000;
const SEND_TIMEOUT_MS = 15_000;
const DAYS_EVERY_MS = 3_600_000;

/** One session: the stages wired together, started and stopped in order. */
export class RouterSession {
  readonly #options: SessionOptions;
  readonly #session: SessionNo;
  readonly #ledger: PostgresLedger;
  readonly #numbers: NumberSource;
  readonly #slots: Slots;
  readonly #providers: Map<string, Provider>;
  readonly #publisher: RecordPublisher;
  readonly #keeper: SessionKeeper;
  readonly #caller: Caller;
  readonly #giveBack: GiveBack;
  readonly #dispatch: DispatchStage;
  readonly #finish: FinishStage;
  readonly #intake: IntakeStage;
  readonly #relay: RelayStage;
  readonly #inbox: InboxConsumer;
  readonly #watchdog: ConsumerWatchdog;
  readonly #over = new AbortController();
  readonly #render;
  #givenUp = false;

  static async open(options: SessionOptions): Promise<RouterSession> {
    const { config, pools, cluster, name } = options;
    const context = new LedgerContext(pools, cluster.id, () => systemClock.nowMs(), buildLedgerSettings(config));
    const ledger = new PostgresLedger(context, Object.keys(config.tenants));
    await ledger.prepareDays();
    const session = await ledger.openSession(name);
    options.log.info("session.opened", { session, name });
    return new RouterSession(options, ledger, session);
  }

  private constructor(options: SessionOptions, ledger: PostgresLedger, session: SessionNo) {
    this.#options = options;
    this.#ledger = ledger;
    this.#session = session;
    const { config, log, metrics, kafka, cluster } = options;
    const common = {
      ledger,
      session,
      clock: systemClock,
      random: systemRandom,
      log,
      metrics,
      mendable: isConnectionTrouble,
    };
    const renderSettings = buildRenderSettings(config, cluster.id, options.encoders);
    const render = createRenderer(renderSettings);
    this.#render = render;
    const catalog = buildCatalog(config);
    const planRoutes = createRoutePlanner(catalog);
    const accounts = new Map(Object.entries(config.providers));
    const accountOf = (name: string): NonNullable<ReturnType<typeof accounts.get>> => {
      const account = accounts.get(name);
      if (account === undefined) throw new Error(`InvariantError: account ${name} is not in the config`);
      return account;
    };
    const graceMs = (name: string): number => accounts.get(name)?.inDoubt.graceMs ?? DEFAULT_GRACE_MS;
    const endSession = (reason: string): void => {
      this.#end(reason);
    };
    const fenced = (): void => {
      endSession("fenced");
    };
    this.#numbers = new NumberSource(() => ledger.takeNumbers());
    this.#slots = new Slots(new Map([...accounts].map(([name, account]) => [name, account.limits.concurrency])));
    this.#providers = openProviders(config);
    this.#publisher = new RecordPublisher(kafka, { sendTimeoutMs: SEND_TIMEOUT_MS });
    this.#keeper = new SessionKeeper({
      ...common,
      ...config.postgres.session,
      graceMs,
      lowMark: () => this.#numbers.lowMark(),
      render,
      fenced,
    });
    this.#relay = new RelayStage({
      ...common,
      render,
      publisher: this.#publisher,
      sweepAfterMs: config.delivery.sweepAfterMs,
      undeliverableAfterMs: config.delivery.undeliverableAfterMs,
      refusedRecordsMax: RELAY_REFUSED_RECORDS_MAX,
      replyTopics: new Set(ownReplyTopics(config)),
      recordsMax: RELAY_RECORDS_MAX,
      recordsPerSend: RELAY_RECORDS_PER_SEND,
      bytesPerSend: RELAY_BYTES_PER_SEND,
    });
    const publish = this.#relay.add.bind(this.#relay);
    const groups = { groupSizeMax: config.limits.groups.sizeMax, groupWaitMs: config.limits.groups.waitMs };
    this.#finish = new FinishStage({
      ...common,
      ...groups,
      render,
      numbers: this.#numbers,
      publish,
      givenUp: () => this.#givenUp,
      graceMs,
      endSession,
    });
    this.#giveBack = new GiveBack({ ...common, slots: this.#slots, numbers: this.#numbers, endSession });
    const mayStart = (): boolean => this.#keeper.mayStart();
    this.#caller = new Caller({
      ...common,
      providers: this.#providers,
      callTimeoutMs: (name) => accountOf(name).callTimeoutMs,
      connectTimeoutMs: (name) => accountOf(name).connectTimeoutMs,
      sendWithinMs: config.delivery.sendWithinMs,
      slots: this.#slots,
      mayStart,
      judge: {
        retry: config.delivery,
        graceMs,
        resultBytesMax: config.results.valueBytesMax,
        answeredPrice: (work, version) => {
          const account = catalog.accounts.find(({ name }) => name === work.route.account);
          return account === undefined ? null : answeredPrice(account, work.route, version, catalog.prices);
        },
      },
      finished: (call) => {
        this.#finish.add(call);
      },
      notSent: (work) => {
        this.#giveBack.add(work);
      },
    });
    const start = (work: Work): void => {
      this.#caller.start(work);
    };
    this.#dispatch = new DispatchStage({
      ...common,
      ...config.delivery,
      render,
      planRoutes,
      numbers: this.#numbers,
      slots: this.#slots,
      retry: config.delivery,
      doubt: (name) => accountOf(name).inDoubt,
      mayStart,
      start,
      publish,
      fenced,
    });
    this.#inbox = new InboxConsumer({
      kafka,
      settings: {
        groupId: config.kafka.groupId,
        topics: config.topics.jobs.map(({ name }) => name),
        sessionTimeoutMs: config.kafka.sessionTimeoutMs,
        heartbeatMs: config.kafka.heartbeatMs,
        maxWaitMs: config.kafka.maxWaitMs,
        partitionsAtOnce: PARTITIONS_AT_ONCE,
        bytesMax: config.kafka.fetchBytesMax,
        bytesPerPartition: config.kafka.fetchBytesPerPartitionMax,
      },
      sink: { offer: (run) => this.#intake.offer(run) },
      position: (topic, partition) => ledger.position(topic, partition),
      openPosition: (topic, partition, next) => ledger.openPosition(topic, partition, next),
      turns: {
        session,
        begin: (topic, partition) => ledger.beginTurn(session, topic, partition),
        mark: (topic, partition) => ledger.mark(topic, partition),
        markRecord: (topic, partition, offset) => ledger.markRecord(session, topic, partition, offset),
      },
      offsets: (topic, partition) => cluster.offsets(topic, partition),
      decoder: options.decoder,
      clock: systemClock,
      log,
      alert: (alert) => {
        const event = partitionEvent(alert, systemClock.nowMs());
        log.error(`inbox.${alert.cause}`, { ...alert, note: event.message });
        if (options.alerts.take(alert)) void this.#publishAlert(alert, event);
        if (alert.cause !== "gap") void this.#noteStop(alert);
      },
    });
    this.#watchdog = new ConsumerWatchdog({
      ...common,
      watchdogMs: config.kafka.watchdogMs,
      look: () => this.#lookAtPartitions(),
      dead: () => this.#inbox.dead,
      restart: () => this.#inbox.restart(),
    });
    this.#intake = new IntakeStage({
      ...common,
      ...groups,
      render,
      renderSettings,
      planner: new IntakePlanner(buildAdmission(config, cluster.id), planRoutes),
      numbers: this.#numbers,
      slots: this.#slots,
      inbox: this.#inbox,
      slotWaitMs: SLOT_WAIT_MS,
      mayStart,
      backlog: {
        here: () => this.#dispatch.backlog,
        began: () => {
          this.#dispatch.backlogBegan();
        },
      },
      start,
      publish,
      fenced,
    });
  }

  #end(reason: string): void {
    if (this.#over.signal.aborted) return;
    this.#options.log.warn("session.over", { session: this.#session, reason });
    this.#over.abort();
  }

  /** Runs until the signal or until the session is declared dead, then drains. */
  async run(signal: AbortSignal): Promise<void> {
    const over = AbortSignal.any([signal, this.#over.signal]);
    const starting = [this.#dispatch.run(), this.#intake.run()];
    const loops = [
      this.#keeper.run(),
      this.#watchdog.run(over),
      ...starting,
      this.#giveBack.run(over),
      this.#relay.runSweep(),
      this.#watchLoad(over),
      this.#watchStopped(over),
      this.#sweepStragglers(over),
      this.#prepareDays(over),
    ];
    const finishing = this.#finish.run();
    // A loop that breaks is a bug: the process must not go on half alive.
    const broken = Promise.race(loops.map((loop) => loop.then(() => new Promise<never>(() => undefined))));
    broken.catch((error: unknown) => {
      this.#options.log.error("session.stage_broke", { error });
      this.#end("a stage broke");
    });
    await Promise.all([this.#inbox.start(), this.#rehearse()]);
    this.#options.log.info("router.ready", {
      session: this.#session,
      topics: this.#options.config.topics.jobs.map(({ name }) => name),
    });
    if (!over.aborted)
      await new Promise<void>((resolve) => {
        over.addEventListener(
          "abort",
          () => {
            resolve();
          },
          { once: true },
        );
      });
    await this.#drain(starting, loops, finishing);
  }

  /** While the group's coordinator lets this member in. A router that can't is slow at first, not wrong. */
  async #rehearse(): Promise<void> {
    try {
      await this.#ledger.rehearse(this.#session, this.#render, systemClock.nowMs());
    } catch (error) {
      this.#options.log.warn("ledger.rehearsal_failed", { error });
    }
  }

  /** Intake stops at once and leaves the group; calls in the air get the grace, then they are in doubt; then results go out. */
  async #drain(
    starting: readonly Promise<void>[],
    loops: readonly Promise<void>[],
    finishing: Promise<void>,
  ): Promise<void> {
    const { config, log } = this.#options;
    const endMs = systemClock.monotonicMs() + config.shutdown.graceMs;
    const left = (): number => Math.max(0, endMs - systemClock.monotonicMs());
    log.info("router.draining", { inAir: this.#caller.inAir });
    this.#intake.stop();
    this.#dispatch.stop();
    await within(
      Math.min(5000, left()),
      this.#inbox.stop().catch(() => undefined),
    );
    // A transaction that was under way may still start calls; only after it is there nothing new.
    await within(Math.max(0, left() - DRAIN_RESERVE_MS), Promise.allSettled(starting));
    while (this.#caller.inAir > 0 && left() > DRAIN_RESERVE_MS) await systemClock.sleep(20);
    this.#caller.cut();
    while (this.#caller.inAir > 0 && left() > 0) await systemClock.sleep(20);
    this.#finish.close();
    await within(left(), finishing);
    this.#givenUp = true;
    await this.#giveBack.drain(left() / 2);
    await this.#relay.drain(left());
    this.#keeper.stop();
    await within(1000, Promise.allSettled(loops));
    await this.#ledger.endSession(this.#session).catch((error: unknown) => {
      log.warn("session.end_failed", { error });
    });
    await this.#publisher.close().catch(() => undefined);
    await Promise.all([...this.#providers.values()].map((provider) => provider.close()));
    log.info("session.ended", { session: this.#session });
  }

  /** Fetching stops at the high marks and goes on below a part of them; heartbeats never stop. */
  async #watchLoad(over: AbortSignal): Promise<void> {
    const { config, metrics, log } = this.#options;
    const { jobsMax, outboxRowsMax, resumeAt } = config.limits.pending;
    let paused: boolean = false;
    while (!over.aborted) {
      await systemClock.sleep(LOAD_EVERY_MS, over);
      try {
        const limits = { readyRows: jobsMax + 1, outboxRows: outboxRowsMax + 1 };
        const load = await this.#ledger.load(limits, this.#relay.refusingTopics);
        const pending = load.readyRows + this.#numbers.openCount;
        // What a tenant's refusing topic keeps waiting stops nobody else, until it is as much as all others may have.
        const outboxRecords = load.outboxRecords + Math.max(0, load.refusedRecords - outboxRowsMax);
        metrics.set("sluice_pending_jobs", {}, pending);
        metrics.set("sluice_outbox_rows", {}, load.outboxRecords + load.refusedRecords);
        metrics.set(
          "sluice_oldest_runnable_seconds",
          {},
          load.oldestRunnableMs === null ? 0 : Math.max(0, systemClock.nowMs() - load.oldestRunnableMs) / 1000,
        );
        const part: number = paused ? resumeAt : 1;
        const full: boolean = pending > jobsMax * part || outboxRecords > outboxRowsMax * part;
        if (full !== paused) {
          paused = full;
          if (paused) this.#inbox.pause();
          else this.#inbox.resume();
          log.warn(paused ? "intake.paused" : "intake.resumed", { pending, outboxRecords });
          metrics.set("sluice_backpressure", { reason: "pending_jobs" }, paused ? 1 : 0);
        }
      } catch (error) {
        log.warn("load.read_failed", { message: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  /** Nobody waits for it: the partition is stopped or passed over all the same. */
  async #publishAlert(alert: PartitionAlert, event: GatewayEvent): Promise<void> {
    try {
      this.#relay.add(await this.#ledger.note(this.#session, event, this.#render));
    } catch (error) {
      this.#options.alerts.giveBack(alert);
      const message = error instanceof Error ? error.message : String(error);
      this.#options.log.warn("inbox.alert_unpublished", { cause: alert.cause, message });
    }
  }

  /** For `sluice status`. Nobody waits for it. */
  async #noteStop(stopped: StoppedPartition): Promise<void> {
    const { log } = this.#options;
    const write = (): Promise<void> => this.#ledger.noteStop(this.#session, stopped, systemClock.nowMs());
    const isOver = (): boolean => this.#over.signal.aborted;
    await persist(
      { clock: systemClock, random: systemRandom, log },
      "inbox.stop_unwritten",
      isConnectionTrouble,
      isOver,
      write,
    ).catch((error: unknown) => {
      log.error("inbox.stop_unwritten", { error });
    });
  }

  /** An operator may have adopted the log of a stopped partition. */
  async #watchStopped(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await systemClock.sleep(STOPPED_EVERY_MS, over);
      await this.#inbox.lookAtStopped().catch((error: unknown) => {
        this.#options.log.warn("inbox.stopped_unread", {
          message: error instanceof Error ? error.message : String(error),
        });
      });
    }
  }

  /** Where each assigned partition stands in the ledger and at the broker. */
  #lookAtPartitions(): Promise<readonly PartitionLook[]> {
    const { cluster } = this.#options;
    return Promise.all(
      this.#inbox.watched().map(async ({ topic, partition, stopped }) => {
        const [position, { low, high }] = await Promise.all([
          this.#ledger.position(topic, partition),
          cluster.offsets(topic, partition),
        ]);
        return { topic, partition, stopped, next: position?.next ?? low, logEnd: high };
      }),
    );
  }

  async #sweepStragglers(over: AbortSignal): Promise<void> {
    const { metrics, log } = this.#options;
    while (!over.aborted) {
      await systemClock.sleep(this.#options.config.delivery.sweepAfterMs, over);
      try {
        const outcome = await this.#ledger.answerStragglers(this.#session, systemClock.nowMs(), this.#render);
        metrics.set("sluice_unanswered_jobs", {}, outcome.ended.length);
        reportEnds(metrics, outcome);
        this.#relay.add(outcome.outbox);
      } catch (error) {
        log.warn("stragglers.sweep_failed", { message: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  async #prepareDays(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await systemClock.sleep(DAYS_EVERY_MS, over);
      await this.#ledger.prepareDays().catch((error: unknown) => {
        this.#options.log.error("ledger.days_failed", { error });
      });
    }
  }
}

/** Waits for work, at most so long. The timer ends with the work: a pending one would keep the process alive. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  await Promise.race([work, systemClock.sleep(ms, timer.signal)]);
  timer.abort();
}

const DEFAULT_GRACE_MS = 30_000;
const DRAIN_RESERVE_MS = 5000;
const PARTITIONS_AT_ONCE = 12;

function openProviders(config: Config): Map<string, Provider> {
  return new Map(
    Object.entries(config.providers).map(([account, settings]) => [
      account,
      createProvider(settings.kind, {
        account,
        baseUrl: settings.baseUrl,
        apiKey: () => settings.apiKey,
        connectionsMax: settings.limits.concurrency,
        connectTimeoutMs: settings.connectTimeoutMs,
        idleTimeoutMs: settings.idleTimeoutMs,
        responseBytesMax: settings.responseBytesMax,
        nowMs: () => systemClock.nowMs(),
      }),
    ]),
  );
}
