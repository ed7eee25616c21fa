import { setMaxListeners } from "node:events";
import { partitionEvent, type PartitionAlert, type StoppedPartition } from "../../domain/event/partition-event.js";
import type { SessionNo } from "../../domain/ids.js";
import type { Journal } from "../../ports/journal.js";
import type { JobsConsumer } from "../../ports/broker.js";
import { ConsumerWatchdog, type PartitionLook } from "../../adapters/kafka/consumer-watchdog.js";
import { TallyRecorder } from "../../pipeline/alert/tally-recorder.js";
import { persist } from "../../pipeline/persist.js";
import { takeOverEarlierWork } from "../../pipeline/finish/earlier-work.js";
import { reportEnds } from "../../pipeline/finish/finish-stage.js";
import { openAlerts, type AlertLoops } from "./alert-loops.js";
import { LoadWatch } from "./load-watch.js";
import type { SessionParts } from "./session-parts.js";
import { Stages } from "./stages.js";

/** Loops that wait for a session's end at a time; with more than ten Node warns of a leak. */
const LOOPS_MAX = 32;
/** How often the session looks at something; between two looks at the load as much comes in as intake can accept. */
const LOAD_EVERY_MS = 1000;
const STOPPED_EVERY_MS = 1000;
const EXPIRE_EVERY_MS = 1000;
const OUTLOOK_EVERY_MS = 5000;
/** Claims and reservations read the same budgets: this is for a router that does neither for a while. */
const SPENDING_EVERY_MS = 2000;
const DAYS_EVERY_MS = 3_600_000;
/** What ends an execution ends its jobs in the same transaction, so this only has to be longer than one takes. */
const STRAGGLER_GRACE_MS = 60_000;
/** Of the shutdown's grace: for what has ended to be written and published. */
const DRAIN_RESERVE_MS = 5000;
const LEAVE_GROUP_MS = 5000;
const LOOPS_END_MS = 1000;
const IN_AIR_LOOK_MS = 20;

/** One session: the stages started, watched over and stopped in order. A router runs it on its adapters, the simulation on its world. */
export class Session {
  readonly no: SessionNo;
  readonly #parts: SessionParts;
  readonly #consumer: JobsConsumer;
  readonly #stages: Stages;
  readonly #watchdog: ConsumerWatchdog;
  readonly #load: LoadWatch;
  readonly #alerts: AlertLoops;
  readonly #journal: Journal;
  readonly #over = new AbortController();
  #hasEnded = false;

  /** Opens a session in the ledger. @throws when the ledger can't be asked. */
  static async open(parts: SessionParts, name: string): Promise<Session> {
    const { ledger, log, reach } = parts.ports;
    await ledger.prepareDays();
    const session = await ledger.openSession(name);
    log.info("session.opened", { session, name });
    reach?.("session.opened");
    const journal = await parts.ports.openJournal(session);
    reach?.("session.journal_opened");
    return new Session(parts, session, journal);
  }

  private constructor(given: SessionParts, session: SessionNo, journal: Journal) {
    setMaxListeners(LOOPS_MAX, this.#over.signal);
    const recorder = given.alerting === undefined ? null : new TallyRecorder();
    const parts = recorder === null ? given : countedBy(recorder, given);
    const { ports, settings } = parts;
    this.#parts = parts;
    this.no = session;
    this.#journal = journal;
    this.#consumer = ports.openConsumer({
      session,
      sink: { offer: (run) => this.#stages.intake.offer(run) },
      alert: (alert) => {
        this.#alerted(alert);
      },
    });
    this.#stages = new Stages({
      ...parts,
      session,
      inbox: this.#consumer,
      journal: this.#journal,
      ...(recorder === null ? {} : { listener: recorder }),
      endSession: (reason) => {
        this.#end(reason);
      },
    });
    this.#alerts = openAlerts(parts, session, this.#stages, recorder);
    this.#watchdog = new ConsumerWatchdog({
      ...ports,
      watchdogMs: settings.watchdogMs,
      look: () => this.#lookAtPartitions(),
      dead: () => this.#consumer.dead,
      restart: () => this.#consumer.restart(),
    });
    this.#load = new LoadWatch({
      ...ports,
      consumer: this.#consumer,
      freeSlots: () => this.#stages.slots.freeByAccount(),
      openIntents: () => this.#stages.numbers.openCount,
      refusingTopics: () => this.#stages.relay.refusingTopics,
      marks: settings.pending,
    });
  }

  #end(reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#parts.ports.log.warn("session.over", { session: this.no, reason });
    this.#over.abort();
  }

  /** Runs until the signal or until the session is declared dead, then drains. @throws when the brokers can't be reached at start. */
  async run(signal: AbortSignal): Promise<void> {
    const { ports, settings } = this.#parts;
    const over = this.#over.signal;
    const stop = (): void => {
      this.#over.abort();
    };
    // Not `AbortSignal.any`: Node keeps one with listeners, and all they hold, for as long as the process lives.
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const { dispatch, intake, finish, batch, groupCalls } = this.#stages;
    const starting = [dispatch.run(), intake.run(), groupCalls.run()];
    const loops = [...starting, batch.run(), this.#stages.limits.run(), ...this.#loops(over)];
    const finishing = finish.run();
    this.#endWhenBroken(loops);
    const takingOver = this.#takeOverEarlierWork(over);
    try {
      await Promise.all([this.#consumer.start(), this.#rehearse()]);
      ports.reach?.("start.ready");
      ports.log.info("router.ready", { session: this.no, topics: settings.jobsTopics });
      await aborted(over);
    } finally {
      signal.removeEventListener("abort", stop);
    }
    await this.#drain(starting, [...loops, takingOver], finishing);
    this.#journal.close();
  }

  #loops(over: AbortSignal): readonly Promise<void>[] {
    const { sweepAfterMs } = this.#parts.settings.delivery;
    const { keeper, giveBack, relay, healthWatch } = this.#stages;
    return [
      keeper.run(),
      this.#watchdog.run(over),
      giveBack.run(over),
      healthWatch.run(over),
      relay.runSweep(),
      this.#every(LOAD_EVERY_MS, over, () => this.#lookAtLoad()),
      this.#every(STOPPED_EVERY_MS, over, () => this.#lookAtStopped()),
      this.#every(EXPIRE_EVERY_MS, over, () => this.#expireCalled()),
      this.#lookAtBatches().then(() => this.#every(OUTLOOK_EVERY_MS, over, () => this.#lookAtBatches())),
      this.#every(sweepAfterMs, over, () => this.#sweepStragglers()),
      ...(this.#parts.settings.watchesSpending
        ? [this.#lookAtSpending().then(() => this.#every(SPENDING_EVERY_MS, over, () => this.#lookAtSpending()))]
        : []),
      this.#every(DAYS_EVERY_MS, over, () => this.#prepareDays()),
      ...this.#alerts.run(over),
    ];
  }

  /** @param work never rejects. */
  async #every(ms: number, over: AbortSignal, work: () => Promise<void>): Promise<void> {
    for (;;) {
      await this.#parts.ports.clock.sleep(ms, over);
      if (over.aborted) return;
      // Serial: the pause is between the end of a round and the next.
      await work();
    }
  }

  /** A loop that breaks is a bug: the process must not go on half alive. */
  #endWhenBroken(loops: readonly Promise<void>[]): void {
    const broken = Promise.race(loops.map((loop) => loop.then(() => new Promise<never>(() => undefined))));
    broken.catch((error: unknown) => {
      this.#parts.ports.log.error("session.stage_broke", { error });
      this.#end("a stage broke");
    });
  }

  /** What a session before this one could not tell the ledger any more. Nobody waits for it; the ledger may be away for long. */
  async #takeOverEarlierWork(over: AbortSignal): Promise<void> {
    const { ports } = this.#parts;
    try {
      const taken = await takeOverEarlierWork({
        ...ports,
        journal: this.#journal,
        over: () => over.aborted,
        finished: (call) => {
          this.#stages.finish.add(call);
        },
      });
      if (taken.answers + taken.unsent > 0) ports.log.info("journal.taken_over", taken);
    } catch (error) {
      ports.log.error("journal.unread", { message: messageOf(error) });
    }
  }

  /** While the group's coordinator lets this member in. */
  async #rehearse(): Promise<void> {
    const { rehearse, log } = this.#parts.ports;
    try {
      await rehearse(this.no, this.#stages.render);
    } catch (error) {
      log.warn("ledger.rehearsal_failed", { error });
    }
  }

  /** Intake stops at once and leaves the group; calls in the air get the grace, then they are in doubt; then results go out. */
  async #drain(
    starting: readonly Promise<void>[],
    loops: readonly Promise<void>[],
    finishing: Promise<void>,
  ): Promise<void> {
    const { ledger, clock, log, reach } = this.#parts.ports;
    const { intake, dispatch, caller, finish, giveBack, relay, keeper, batch, groupCalls } = this.#stages;
    const endMs = clock.monotonicMs() + this.#parts.settings.shutdownGraceMs;
    const left = (): number => Math.max(0, endMs - clock.monotonicMs());
    log.info("router.draining", { inAir: caller.inAir, batchSteps: batch.inAir });
    intake.stop();
    dispatch.stop();
    groupCalls.stop();
    this.#stages.limits.stop();
    reach?.("session.draining");
    // Batches go on at their providers: only the steps that are under way are waited for, and any router takes the next.
    const batchSteps = batch.drain(Math.max(0, left() - DRAIN_RESERVE_MS));
    await this.#within(
      Math.min(LEAVE_GROUP_MS, left()),
      this.#consumer.stop().catch(() => undefined),
    );
    // A transaction that was under way may still start calls; only after it is there nothing new.
    await this.#within(Math.max(0, left() - DRAIN_RESERVE_MS), Promise.allSettled(starting));
    while (caller.inAir > 0 && left() > DRAIN_RESERVE_MS) await clock.sleep(IN_AIR_LOOK_MS);
    caller.cut();
    while (caller.inAir > 0 && left() > 0) await clock.sleep(IN_AIR_LOOK_MS);
    await this.#within(left(), batchSteps);
    finish.close();
    await this.#within(left(), finishing);
    this.#stages.giveUpWaiting();
    await giveBack.drain(left() / 2);
    await relay.drain(left());
    keeper.stop();
    await this.#within(LOOPS_END_MS, Promise.allSettled(loops));
    reach?.("session.drained");
    await ledger.endSession(this.no).catch((error: unknown) => {
      log.warn("session.end_failed", { error });
    });
    reach?.("session.ended");
  }

  /** Waits for work, at most so long. The timer ends with the work: a pending one would keep the process alive. */
  async #within(ms: number, work: Promise<unknown>): Promise<void> {
    const timer = new AbortController();
    await Promise.race([work, this.#parts.ports.clock.sleep(ms, timer.signal)]);
    timer.abort();
  }

  #alerted(alert: PartitionAlert): void {
    const { clock, log, alerts } = this.#parts.ports;
    const event = partitionEvent(alert, clock.nowMs());
    log.error(`inbox.${alert.cause}`, { ...alert, note: event.message });
    if (alert.cause !== "gap") void this.#noteStop(alert);
    if (!alerts.take(alert)) return;
    // Nobody waits for it: the partition is stopped or passed over all the same.
    this.#parts.ports.ledger.note(this.no, event, this.#stages.render).then(
      (groups) => {
        this.#stages.relay.add(groups);
      },
      (error: unknown) => {
        alerts.giveBack(alert);
        log.warn("inbox.alert_unpublished", { cause: alert.cause, message: messageOf(error) });
      },
    );
  }

  /** For `sluice status`. Nobody waits for it. */
  async #noteStop(stopped: StoppedPartition): Promise<void> {
    const { noteStop, log, mendable } = this.#parts.ports;
    await persist(
      this.#parts.ports,
      "inbox.stop_unwritten",
      mendable,
      () => this.#over.signal.aborted,
      () => noteStop(this.no, stopped),
    ).catch((error: unknown) => {
      log.error("inbox.stop_unwritten", { error });
    });
  }

  /** Where each assigned partition stands in the ledger and at the broker. */
  #lookAtPartitions(): Promise<readonly PartitionLook[]> {
    const { ledger, offsets } = this.#parts.ports;
    return Promise.all(
      this.#consumer.watched().map(async ({ topic, partition, stopped }) => {
        const [position, { low, high }] = await Promise.all([
          ledger.position(topic, partition),
          offsets(topic, partition),
        ]);
        // Records that were deleted unread are nothing to wait for: the consumer hears of them with the next one.
        return { topic, partition, stopped, next: Math.max(position?.next ?? low, low), logEnd: high };
      }),
    );
  }

  async #lookAtLoad(): Promise<void> {
    await this.#load.look().catch((error: unknown) => {
      this.#parts.ports.log.warn("load.read_failed", { message: messageOf(error) });
    });
  }

  /** Whoever chooses routes hears of it. */
  async #lookAtSpending(): Promise<void> {
    await this.#parts.ports.ledger.standings().catch((error: unknown) => {
      this.#parts.ports.log.warn("budgets.look_failed", { message: messageOf(error) });
    });
  }

  /** How long batches take and what still fits. */
  async #lookAtBatches(): Promise<void> {
    await this.#stages.outlook.look().catch((error: unknown) => {
      this.#parts.ports.log.warn("batches.look_failed", { message: messageOf(error) });
    });
  }

  /** An operator may have adopted the log of a stopped partition. */
  async #lookAtStopped(): Promise<void> {
    await this.#consumer.lookAtStopped().catch((error: unknown) => {
      this.#parts.ports.log.warn("inbox.stopped_unread", { message: messageOf(error) });
    });
  }

  /** Jobs whose call is out and has no row that a claim would find. */
  async #expireCalled(): Promise<void> {
    const { ledger, clock, metrics, log, mendable } = this.#parts.ports;
    const { caller, relay, render } = this.#stages;
    const executions = caller.overdue(clock.nowMs());
    if (executions.length === 0) return;
    try {
      const outcome = await ledger.expire(this.no, executions, clock.nowMs(), render);
      if (!outcome.more) caller.expired(executions);
      reportEnds(metrics, outcome);
      relay.add(outcome.outbox);
    } catch (error) {
      // What the ledger refuses waits for the end of its call.
      if (!mendable(error)) caller.expired(executions);
      log.warn("calls.expire_failed", { message: messageOf(error) });
    }
  }

  async #sweepStragglers(): Promise<void> {
    const { ledger, clock, metrics, log } = this.#parts.ports;
    try {
      const outcome = await ledger.answerStragglers(this.no, clock.nowMs(), this.#stages.render);
      metrics.set("sluice_unanswered_jobs", {}, outcome.unanswered);
      reportEnds(metrics, outcome);
      this.#stages.relay.add(outcome.outbox);
      const everyMs = this.#parts.settings.delivery.sweepAfterMs;
      const jobs = await ledger.noteStragglers({ nowMs: clock.nowMs(), everyMs, graceMs: STRAGGLER_GRACE_MS });
      // The next sweep answers them.
      if (jobs > 0) log.error("stragglers.found", { jobs });
    } catch (error) {
      log.warn("stragglers.sweep_failed", { message: messageOf(error) });
    }
  }

  async #prepareDays(): Promise<void> {
    const { ledger, log } = this.#parts.ports;
    await ledger.prepareDays().catch((error: unknown) => {
      log.error("ledger.days_failed", { error });
    });
  }
}

/** The same parts, with what metrics are told of ends told to the recorder too. */
function countedBy(recorder: TallyRecorder, parts: SessionParts): SessionParts {
  return { ...parts, ports: { ...parts.ports, metrics: recorder.listening(parts.ports.metrics) } };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
