import { batchId, type Batch } from "../../domain/batch/batch.js";
import { readRequestFacts } from "../../domain/route/request-facts.js";
import type { SessionNo } from "../../domain/ids.js";
import type { BatchLedger, BatchLine } from "../../ports/batch-ledger.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { Clock, Log } from "../../ports/system.js";
import type { AskHealth } from "../dispatch/call-gate.js";
import type { NumberSource } from "../dispatch/number-source.js";
import type { RateLimits } from "../dispatch/rate-limits.js";
import type { Slots } from "../dispatch/slots.js";
import type { Work } from "../dispatch/work.js";
import { Nap } from "../nap.js";
import type { BatchingSettings } from "./batch-settings.js";
import type { LineRoutes } from "./line-routes.js";

export interface GroupCallsParts {
  readonly ledger: Pick<BatchLedger, "openLines" | "startLines" | "returnLines">;
  readonly session: SessionNo;
  /** Accounts whose lines are called; without any there is nothing to do. */
  readonly groups: ReadonlyMap<string, unknown>;
  readonly settings: Pick<BatchingSettings, "lookEveryMs" | "groupSizeMax" | "pollMinMs">;
  readonly routes: LineRoutes;
  readonly numbers: Pick<NumberSource, "reserve" | "open" | "close">;
  readonly slots: Pick<Slots, "freeOf" | "takeBehind" | "release" | "released">;
  /** Left out: nothing limits lines but places. */
  readonly limits?: Pick<RateLimits, "mayTakeLine" | "takeLine">;
  readonly health: AskHealth;
  readonly clock: Clock;
  readonly log: Log;
  readonly mendable: (error: unknown) => boolean;
  /** Whether direct jobs are due that no place was found for. */
  readonly backlog: () => boolean;
  readonly mayStart: () => boolean;
  readonly start: (work: Work) => void;
  readonly reach?: ReachPoint;
}

/** Bodies of one round are held at once. */
const LINES_A_ROUND_MAX = 64;
/** While direct jobs wait, for whatever account, a place counts as left over once they have left it alone for so long. */
const LEFT_OVER_MS = 1000;

/**
 * Calls the lines of open groups, in the order of each group, the oldest group first: as many at once as the account's config says, and only
 * in places that direct jobs leave. A line's intent is durable before its first byte leaves, as that of any call, and its outcome is judged
 * and written like theirs. What is known here is only which groups are open: after a kill the next session finds them by their rows.
 */
export class GroupCalls {
  readonly #parts: GroupCallsParts;
  readonly #stop = new AbortController();
  readonly #nap: Nap;
  /** By number, in the order in which they were opened. */
  readonly #groups = new Map<number, Batch>();
  /** Since when an account has had a free place at every look; monotonic. */
  readonly #freeSince = new Map<string, number>();

  constructor(parts: GroupCallsParts) {
    this.#parts = parts;
    this.#nap = new Nap(parts.clock);
  }

  /** A group whose lines may be called. Adding it again changes nothing. */
  add(group: Batch): void {
    this.#groups.set(group.no, group);
  }

  /** No further line of it is begun. */
  drop(batchNo: number): void {
    this.#groups.delete(batchNo);
  }

  stop(): void {
    this.#stop.abort();
    this.#nap.wake();
  }

  /** Runs until it is stopped; when it resolves nothing new is begun. */
  async run(): Promise<void> {
    const { settings, log, mendable, groups } = this.#parts;
    while (groups.size > 0 && !this.#stop.signal.aborted) {
      try {
        if (this.#parts.mayStart()) await this.#round();
        await this.#wait(settings.lookEveryMs);
      } catch (error) {
        log[mendable(error) ? "warn" : "error"]("batch.calls_failed", { error });
        await this.#wait(settings.pollMinMs);
      }
    }
  }

  /** Until a place is given back, at most so long. */
  async #wait(ms: number): Promise<void> {
    await this.#nap.sleep(ms, this.#groups.size === 0 ? undefined : (over) => this.#parts.slots.released(over));
  }

  async #round(): Promise<void> {
    for (const group of [...this.#groups.values()].sort((a, b) => a.no - b.no)) {
      // Serial: the places are of one account, and an older group goes first.
      const { account, model } = group;
      if (this.#mayTake(account) && this.#parts.limits?.mayTakeLine(account, model) !== false) await this.#begin(group);
      if (this.#stop.signal.aborted) return;
    }
  }

  #mayTake(account: string): boolean {
    const nowMs = this.#parts.clock.monotonicMs();
    if (this.#parts.slots.freeOf(account) <= 0) {
      this.#freeSince.delete(account);
      return false;
    }
    const sinceMs = this.#freeSince.get(account) ?? nowMs;
    this.#freeSince.set(account, sinceMs);
    return !this.#parts.backlog() || nowMs - sinceMs >= LEFT_OVER_MS;
  }

  /** Places are taken first, and given back when there are fewer lines. */
  async #begin(group: Batch): Promise<void> {
    const { ledger, slots, health } = this.#parts;
    const takenAtMs = this.#parts.clock.nowMs();
    let places = this.#takePlaces(group, takenAtMs);
    if (places === 0) return;
    try {
      const lines = await ledger.openLines(group.no, 0, places);
      if (lines.length === 0) this.drop(group.no); // whoever watches it adds it again should it not be over
      // A line without a grant stays as it is, and is looked at again.
      const granted = lines.filter((line) => this.#isGranted(line));
      const begun = await this.#start(group, granted);
      places -= begun.size;
      const left = granted.filter(({ attempt }) => !begun.has(attempt.no));
      if (left.length > 0) await this.#giveBack(group, left);
    } finally {
      if (places > 0) health.notSent({ account: group.account, model: group.model ?? "", startedAtMs: takenAtMs });
      for (; places > 0; places -= 1) slots.release(group.account, false, true);
    }
  }

  /** What can't be called at all is let through: it goes back. */
  #isGranted(line: BatchLine): boolean {
    const { limits, routes, clock } = this.#parts;
    const route = limits === undefined || line.latestDeadlineMs === null ? null : routes.routeOf(line);
    if (limits === undefined || route === null) return true;
    const facts = readRequestFacts(line.format, line.bodyText, Buffer.byteLength(line.bodyText), line.maxCostNanoUsd);
    return limits.takeLine({ route, facts, tier: line.policy.tier ?? "standard", nowMs: clock.nowMs() });
  }

  /** None of an account that is not to be called, one for a trial. */
  #takePlaces({ account, model }: Batch, nowMs: number): number {
    const { slots, settings, health } = this.#parts;
    const most = Math.min(LINES_A_ROUND_MAX, settings.groupSizeMax);
    let places = 0;
    while (places < most && health.waitUntilMs(account, model ?? "", nowMs) === null && slots.takeBehind(account)) {
      health.taken(account, model, nowMs);
      places += 1;
    }
    return places;
  }

  /** @returns the lines whose calls were begun, by their numbers until then. */
  async #start(group: Batch, lines: readonly BatchLine[]): Promise<ReadonlySet<number>> {
    const { ledger, session, numbers, routes, clock, start } = this.#parts;
    const wanted = lines.filter((line) => line.latestDeadlineMs !== null && routes.routeOf(line) !== null);
    await numbers.reserve(wanted.length);
    const nowMs = clock.nowMs();
    const calls = wanted.map((line) => {
      const intent = { ...line.attempt, no: numbers.open(), startedAtMs: nowMs };
      return { line, start: { execution: line.execution, lineNo: line.attempt.no, intent } };
    });
    let stored: ReadonlySet<number> = new Set();
    try {
      stored = await ledger.startLines(
        session,
        group.no,
        calls.map((call) => call.start),
      );
    } finally {
      for (const { intent } of calls.map((call) => call.start)) if (!stored.has(intent.no)) numbers.close(intent.no);
    }
    if (stored.size > 0) this.#parts.reach?.("group.lines_started");
    const begun = calls.filter((call) => stored.has(call.start.intent.no));
    for (const {
      line,
      start: { intent },
    } of begun)
      start(routes.workOf({ ...line, attempt: intent }, group, nowMs).work);
    return new Set(begun.map((call) => call.start.lineNo));
  }

  /** Lines that nobody waits for any more, that the config can't serve any more, or that were answered otherwise. */
  async #giveBack(group: Batch, left: readonly BatchLine[]): Promise<void> {
    const { ledger, session, clock, log } = this.#parts;
    const keys = left.map(({ attempt, execution }) => ({ no: attempt.no, day: execution.day }));
    const returned = await ledger.returnLines(session, group.no, keys, keys.length, clock.nowMs());
    // None of them is there as it was: the group is another session's by now, or is cancelled.
    if (returned === 0) this.drop(group.no);
    log.debug("batch.lines_returned", { batch: batchId(group.no), lines: returned });
  }
}
