import { riskBesideDoubt, type DoubtPolicy } from "../../domain/execution/doubt-policy.js";
import type { SessionNo } from "../../domain/ids.js";
import type { AdmittedJob, IncomingRecord, Refusal } from "../../domain/job/job.js";
import type { RenderSettings } from "../../domain/result/rendering.js";
import { keptHeaders, renderRefused } from "../../domain/result/render-refused.js";
import type { IntakeJob, IntakeWait, RefusedRecord, Renderer } from "../../domain/result/outgoing.js";
import type {
  Accepted,
  IntakeGroup,
  IntakeOutcome,
  Ledger,
  OutboxGroup,
  PositionMove,
  RecordedCancel,
} from "../../ports/ledger.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { Inbox, RecordRun, RecordSink } from "../../ports/broker.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { IntakeListener } from "../alert/tally-recorder.js";
import type { Admission, CallGate } from "../dispatch/call-gate.js";
import type { LimitPass } from "../dispatch/limit-scope.js";
import type { Work } from "../dispatch/work.js";
import type { NumberSource } from "../dispatch/number-source.js";
import { Nap } from "../nap.js";
import { persist } from "../persist.js";
import { reportIntake } from "./report-intake.js";
import { RunQueue, type QueuedRecord } from "./run-queue.js";
import { splitGroup } from "./split-group.js";
import { refusedJob, type IntakePlanner, type Planned, type PlannedJob, type RefusedPlan } from "./intake-planner.js";

export interface IntakeParts {
  readonly ledger: Pick<Ledger, "accept">;
  readonly session: SessionNo;
  readonly render: Renderer;
  readonly renderSettings: RenderSettings;
  readonly planner: Pick<IntakePlanner, "plan">;
  readonly numbers: NumberSource;
  readonly gate: CallGate;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly inbox: Inbox;
  readonly groupSizeMax: number;
  readonly groupWaitMs: number;
  /** Full groups, and bytes, that may wait in memory before the consumer has to. */
  readonly queuedGroupsMax: number;
  readonly queuedBytesMax: number;
  /** Longest wait for a free slot, or a grant of a rate limit, before a group is accepted into waiting rows. */
  readonly slotWaitMs: number;
  readonly mendable: (error: unknown) => boolean;
  readonly doubt: (account: string) => DoubtPolicy;
  readonly mayStart: () => boolean;
  readonly backlog: { readonly here: () => boolean; readonly began: () => void };
  readonly start: (work: Work) => void;
  readonly publish: (groups: readonly OutboxGroup[]) => void;
  readonly fenced: () => void;
  readonly reach?: ReachPoint;
  /** Only there when somebody counts. */
  readonly listener?: IntakeListener;
}

/** How often it is looked whether the rows that wait for a place have one. A pace, no bound. */
const BACKLOG_LOOK_MS = 5;

/** A plan goes by the routes that can be called when it is made; one that has waited for longer is made again. */
const PLAN_HOLDS_MS = 1000;

/** After so long the preparation of a group lets others run: stored intents wait to be sent, answers to be stored. A pace, no bound. */
const TURN_MS = 5;

/**
 * Accepts records into the ledger, in groups. Nothing of a record is remembered here: until the group's transaction stands it comes
 * again from the broker, after that it is a row.
 */
export class IntakeStage implements RecordSink {
  readonly #parts: IntakeParts;
  readonly #queue: RunQueue;
  /** Share of the last group's jobs that a slot may serve soon: jobs for batches need none, and others wait for a limit that is used up. */
  #slotShare = 1;
  /** By the monotonic clock; null: no backlog when it was last looked. */
  #backlogSinceMs: number | null = null;
  #stopped = false;
  /** Of records that still wait. */
  readonly #ahead = new WeakMap<IncomingRecord, { readonly plan: Planned; readonly atMs: number }>();
  readonly #nap: Nap;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
    this.#nap = new Nap(parts.clock);
    this.#queue = new RunQueue(parts.groupSizeMax * parts.queuedGroupsMax, parts.queuedBytesMax);
  }

  offer(run: RecordRun): Promise<void> {
    return this.#queue.offer(run);
  }

  stop(): void {
    this.#stopped = true;
    this.#queue.close();
  }

  async run(): Promise<void> {
    for (;;) {
      const wasIdle = this.#queue.length === 0;
      if (!(await this.#more())) return;
      // The first record after a rest has nobody to wait for; who comes while its group is out makes the next one.
      if (this.#queue.length < this.#parts.groupSizeMax && this.#parts.groupWaitMs > 0)
        await this.#parts.clock.sleep(wasIdle ? 0 : this.#parts.groupWaitMs);
      if (!(await this.#sessionHolds())) continue;
      const size = await this.#groupSize();
      const taken = this.#queue.take(size);
      if (taken.moves.length > 0) await this.#accept(taken.records, taken.moves);
    }
  }

  /** Waits for records. @returns false once intake is stopped. */
  async #more(): Promise<boolean> {
    if (!this.#stopped) await this.#queue.filled();
    return !this.#stopped;
  }

  async #sessionHolds(): Promise<boolean> {
    if (this.#parts.mayStart()) return true;
    await this.#parts.clock.sleep(100);
    return false;
  }

  /**
   * As many as can start at once: a job that starts with its acceptance is written fewer times than one that waits as a row. When no slot
   * comes free for a while, a rate limit is used up, or a backlog waits already, the group goes into rows, and Kafka never holds work for a
   * slow provider. What the next records ask for is not known before they are planned: as the last ones did.
   */
  async #groupSize(): Promise<number> {
    const { gate, groupSizeMax, clock, slotWaitMs } = this.#parts;
    if (this.#slotShare === 0 || !(await this.#backlogEnds())) return groupSizeMax;
    const wanted = Math.ceil(Math.min(groupSizeMax, this.#queue.length) * this.#slotShare);
    const untilMs = clock.monotonicMs() + slotWaitMs;
    for (let isFirst = true; ; isFirst = false) {
      const startable = gate.startable(wanted, isFirst);
      if (startable === null) return groupSizeMax;
      if (startable > 0) return Math.min(groupSizeMax, Math.ceil(startable / this.#slotShare));
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0) return groupSizeMax;
      // Serial: what became free may have been taken by rows that wait.
      await this.#nap.sleep(leftMs, (over) => gate.changed(over));
    }
  }

  /**
   * A few rows that found no place are taken up within moments, and are waited for so long: going behind them at once would leave all that
   * comes to rows, until nothing comes any more. @returns false: what waits, waits for longer.
   */
  async #backlogEnds(): Promise<boolean> {
    const { backlog, clock, slotWaitMs } = this.#parts;
    while (backlog.here()) {
      const nowMs = clock.monotonicMs();
      this.#backlogSinceMs ??= nowMs;
      const leftMs = this.#backlogSinceMs + slotWaitMs - nowMs;
      if (leftMs <= 0) return false;
      // Serial: what is waited for is done by another loop.
      await this.#nap.sleep(Math.min(leftMs, BACKLOG_LOOK_MS));
    }
    this.#backlogSinceMs = null;
    return true;
  }

  async #accept(records: readonly QueuedRecord[], moves: readonly PositionMove[]): Promise<void> {
    const { numbers, clock } = this.#parts;
    const startedMs = clock.monotonicMs();
    await persist(
      this.#parts,
      "intake.waits_for_ledger",
      this.#parts.mendable,
      () => this.#stopped,
      () => numbers.reserve(records.length * 2 + 8),
    ).catch(() => undefined);
    const prepared = await this.#prepare(records);
    const group: IntakeGroup = {
      session: this.#parts.session,
      groupNo: numbers.next(),
      moves,
      jobs: prepared.jobs.map(({ item }) => item),
      refused: prepared.refused,
      cancels: prepared.cancels.map(({ cancel }) => cancel),
    };
    try {
      this.#parts.reach?.("intake.before_accept");
      const outcome = await persist(
        this.#parts,
        "intake.waits_for_ledger",
        this.#parts.mendable,
        () => this.#stopped,
        () => this.#planningAhead(this.#parts.ledger.accept(group, this.#parts.render)),
      );
      this.#settle(prepared, group, outcome, startedMs);
      if (outcome.kind === "accepted") {
        const { metrics } = this.#parts;
        metrics.observe("sluice_group_size", { stage: "intake" }, records.length);
        metrics.observe("sluice_group_seconds", { stage: "intake" }, (clock.monotonicMs() - startedMs) / 1000);
        reportIntake(this.#parts, { ...prepared, outcome });
      }
    } catch (error) {
      for (const job of prepared.jobs) this.#giveBack(job);
      if (this.#parts.mendable(error)) return; // stopping: the records come again
      await this.#bisect(records, moves, error);
    }
  }

  /** A group that the database refuses is halved, in offset order, until the one bad record is alone: that one is a dead letter. */
  async #bisect(records: readonly QueuedRecord[], moves: readonly PositionMove[], error: unknown): Promise<void> {
    if (records.length <= 1) {
      const only = records[0];
      const refusal = only === undefined ? null : this.#refusalOf(only, error);
      if (only === undefined || refusal === null) throw error;
      this.#parts.log.error("intake.record_refused", {
        topic: only.record.topic,
        partition: only.record.partition,
        offset: only.record.offset,
        error,
      });
      only.refuse = refusal;
      await this.#accept(records, moves);
      return;
    }
    for (const part of splitGroup({ records, moves })) {
      // Serial: halves commit in offset order.
      await this.#accept(part.records, part.moves);
    }
  }

  /**
   * What goes in for a record that the ledger refused on its own: a result too where it was planned as a job, and when that is refused as
   * well, a dead letter alone. @returns null: there is nothing less to try.
   */
  #refusalOf(queued: QueuedRecord, error: unknown): Refusal | null {
    const message = `the ledger refused this record: ${error instanceof Error ? error.message : String(error)}`;
    if (queued.refuse !== null) return queued.refuse.identity === null ? null : refusedHere(message).refusal;
    const plan = this.#planned(queued, this.#parts.clock.nowMs());
    const { refusal } = plan.kind === "job" ? refusedJob(plan.planned.job, "INTERNAL", message) : refusedHere(message);
    return refusal;
  }

  async #prepare(records: readonly QueuedRecord[]): Promise<Prepared> {
    const { numbers, clock, renderSettings } = this.#parts;
    const nowMs = clock.nowMs();
    const prepared: Prepared = { jobs: [], refused: [], cancels: [], headersDropped: 0 };
    let turnEndsMs = clock.monotonicMs() + TURN_MS;
    for (const queued of records) {
      if (clock.monotonicMs() > turnEndsMs) {
        await clock.sleep(0);
        turnEndsMs = clock.monotonicMs() + TURN_MS;
      }
      const plan = this.#planned(queued, nowMs);
      if (plan.kind === "cancel")
        prepared.cancels.push({
          topic: queued.record.topic,
          cancel: { tenant: plan.tenant, jobId: plan.jobId, behind: prepared.jobs.length },
        });
      else if (plan.kind === "refused") {
        const day = Math.floor(nowMs / 86_400_000);
        prepared.headersDropped += plan.refusal.identity?.headersDropped ?? 0;
        prepared.refused.push(
          renderRefused(renderSettings, {
            no: numbers.next(),
            day,
            record: queued.record,
            headersText: keptHeaders(queued.record.headers),
            refusal: plan.refusal,
            nowMs,
          }),
        );
      } else prepared.jobs.push({ planned: plan.planned, ...this.#item(queued.record, plan.planned, nowMs) });
    }
    const { jobs } = prepared;
    if (jobs.length > 0) this.#slotShare = this.#askingForSlots(jobs) / jobs.length;
    return prepared;
  }

  /** While a group's transaction is out, what comes next is planned: the next group then only has to be given its places. */
  #planningAhead<Outcome>(transaction: Promise<Outcome>): Promise<Outcome> {
    let isOver = false;
    void this.#planAhead(() => isOver);
    return transaction.finally(() => {
      isOver = true;
    });
  }

  async #planAhead(isOver: () => boolean): Promise<void> {
    const { clock, groupSizeMax } = this.#parts;
    let turnEndsMs = -Infinity; // the transaction's first statements leave before anything is planned
    for (const queued of this.#queue.peek(groupSizeMax)) {
      if (clock.monotonicMs() > turnEndsMs) {
        await clock.sleep(0);
        if (isOver() || this.#stopped) return;
        turnEndsMs = clock.monotonicMs() + TURN_MS;
      }
      if (this.#ahead.has(queued.record)) continue;
      this.#ahead.set(queued.record, { plan: this.#plan(queued, clock.nowMs()), atMs: clock.monotonicMs() });
    }
  }

  #planned(queued: QueuedRecord, nowMs: number): Planned {
    const ahead = queued.refuse === null ? this.#ahead.get(queued.record) : undefined;
    return ahead !== undefined && this.#parts.clock.monotonicMs() - ahead.atMs < PLAN_HOLDS_MS
      ? ahead.plan
      : this.#plan(queued, nowMs);
  }

  #askingForSlots(jobs: Prepared["jobs"]): number {
    let asking = 0;
    for (const { item } of jobs) if (this.#asksForSlot(item)) asking += 1;
    return asking;
  }

  #asksForSlot({ pooled, waits }: IntakeJob): boolean {
    if (pooled !== undefined) return false;
    return waits?.limit === undefined || !this.#parts.gate.isUsedUp(waits.limit);
  }

  /** Nothing in a record may end the session: it would come again to the next one, for ever. */
  #plan({ record, decoded, refuse }: QueuedRecord, nowMs: number): Planned {
    if (refuse !== null) return { kind: "refused", refusal: refuse };
    try {
      return this.#parts.planner.plan(record, decoded, nowMs);
    } catch (error) {
      const { topic, partition, offset } = record;
      this.#parts.log.error("intake.record_unreadable", { topic, partition, offset, error });
      return refusedHere(
        "the gateway failed to read this record, which is a bug; its log says where (intake.record_unreadable)",
      );
    }
  }

  #item(record: IncomingRecord, planned: PlannedJob, nowMs: number): Omit<Prepared["jobs"][number], "planned"> {
    const { numbers, backlog, gate } = this.#parts;
    const { job, route, facts, line } = planned;
    const isPooled = line.kind === "pool";
    const mayStart = !isPooled && planned.waits !== true && !backlog.here() && job.deadlineMs > nowMs;
    const wish = { route, facts, tier: job.policy.tier, nowMs, behind: true };
    const admission = mayStart ? gate.take(wish) : null;
    const starts = admission?.kind === "go";
    const waits = isPooled || starts ? null : waitOf(admission, gate.limitOf(wish), job.submittedAtMs);
    const item: IntakeJob = {
      no: numbers.next(),
      job,
      record: { value: record.value, headersText: keptHeaders(record.headers) },
      intent: starts
        ? {
            no: numbers.open(),
            number: 1,
            account: route.account,
            provider: route.kind,
            model: route.model,
            routeIndex: planned.routeIndex,
            maxNanoUsd: planned.maxNanoUsd,
            startedAtMs: nowMs,
          }
        : null,
      ...(isPooled ? { pooled: line.pooled } : {}),
      ...(waits === null ? {} : { waits }),
      ...(line.decision === undefined ? {} : { decision: line.decision }),
      riskNanoUsd: riskBesideDoubt(
        job.policy.onDoubt,
        planned.plan.accounts.map((account) => this.#parts.doubt(account)),
      ),
    };
    return starts && admission.pass !== undefined ? { item, pass: admission.pass } : { item };
  }

  #giveBack({ item, pass }: Pick<Prepared["jobs"][number], "item" | "pass">): void {
    if (item.intent === null) return;
    this.#parts.gate.giveBack(item.intent, pass);
    this.#parts.numbers.close(item.intent.no);
  }

  #settle(prepared: Prepared, group: IntakeGroup, outcome: IntakeOutcome, startedMs: number): void {
    if (outcome.kind !== "accepted") {
      for (const job of prepared.jobs) this.#giveBack(job);
      if (outcome.kind === "fenced") this.#parts.fenced();
      else {
        for (const { topic, partition } of outcome.partitions) {
          this.#queue.drop(topic, partition);
          this.#parts.inbox.rewind(topic, partition).catch((error: unknown) => {
            this.#parts.log.error("intake.rewind_failed", { topic, partition, error });
          });
        }
      }
      return;
    }
    this.#parts.reach?.("intake.after_accept");
    if (outcome.jobs.some(hasStarted)) this.#parts.gate.stored(this.#parts.clock.monotonicMs() - startedMs);
    const queued = new Map<string, number>();
    for (const [index, { planned, item, pass }] of prepared.jobs.entries()) {
      const fate = outcome.jobs[index]?.kind;
      if (fate === "started" && item.intent !== null) this.#parts.start(workOf(planned, item, outcome.day));
      else this.#giveBack(pass === undefined ? { item } : { item, pass });
      const limit = item.waits?.limit;
      if (fate === "queued" && limit !== undefined) queued.set(limit, (queued.get(limit) ?? 0) + 1);
      // One that had a place and was queued all the same waits for money, and is in nobody's way; so is one that waits for a limit.
      else if (fate === "queued" && item.intent === null) this.#parts.backlog.began();
    }
    for (const [limit, rows] of queued) this.#parts.gate.queued(limit, rows);
    this.#parts.reach?.("intake.settled");
    for (const { topic, partition, upto } of group.moves) this.#parts.inbox.accepted(topic, partition, upto);
    this.#parts.publish(outcome.outbox);
  }
}

function hasStarted({ kind }: Accepted): boolean {
  return kind === "started";
}

interface Prepared {
  readonly jobs: { readonly planned: PlannedJob; readonly item: IntakeJob; readonly pass?: LimitPass }[];
  readonly refused: RefusedRecord[];
  readonly cancels: { readonly topic: string; readonly cancel: RecordedCancel }[];
  /** Of the refused records that have a result. */
  headersDropped: number;
}

/** What a job that does not start waits for; null: a place, and it is due at once. */
function waitOf(admission: Admission | null, limit: string | null, submittedAtMs: number): IntakeWait | null {
  if (admission?.kind === "wait" && admission.limit !== undefined) {
    const { runAtMs, waitsFor } = admission;
    return { runAtMs, waitsFor, limit: admission.limit };
  }
  // One that never fits is looked at once more as a row, and ends there.
  return limit === null || admission?.kind === "never"
    ? null
    : { runAtMs: submittedAtMs, waitsFor: "rate_limit", limit };
}

function refusedHere(message: string): RefusedPlan {
  return { kind: "refused", refusal: { code: "INTERNAL", message, tenant: null, jobId: null, identity: null } };
}

function workOf(planned: PlannedJob, item: IntakeJob, day: number): Work {
  if (item.intent === null) throw new Error("InvariantError: a job started without an intent");
  const job: AdmittedJob = planned.job;
  const { plan } = planned;
  return {
    execution: { day, no: item.no },
    intent: item.intent,
    format: job.format,
    policy: job.policy,
    bodyText: job.bodyText,
    route: planned.route,
    get routes() {
      return plan.routes;
    },
    firstPrice: plan.first?.price ?? planned.route.price,
    history: [],
    latestDeadlineMs: job.deadlineMs,
    ...(item.decision === undefined ? {} : { decision: item.decision }),
  };
}
