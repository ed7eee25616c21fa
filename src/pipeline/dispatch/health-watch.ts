import { breakerClosed, breakerOpened } from "../../domain/event/breaker-event.js";
import type { GatewayEvent } from "../../domain/event/event.js";
import type { SharedBreaker } from "../../domain/health/breaker.js";
import type { EpochMs, SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { BreakerSave, HealthStore, StoredBreaker } from "../../ports/health-store.js";
import type { OutboxGroup } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";
import { STATE_NUMBERS, type RouteHealth, type WatchedBreaker } from "./route-health.js";

export interface HealthWatchParts {
  readonly store: HealthStore;
  readonly session: SessionNo;
  readonly render: Renderer;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly publish: (groups: readonly OutboxGroup[]) => void;
  /** Whether this session may still begin something. */
  readonly mayStart: () => boolean;
  readonly lookEveryMs: number;
  /** How long a trial of the account may be out. */
  readonly trialMs: (account: string) => number;
  readonly reach?: ReachPoint;
}

/**
 * Shares breakers with the other routers: reads theirs, tells them of changes here, and takes the lease of a trial, which only one of all
 * routers gets. When the ledger is away nothing is shared, and nothing can be begun either.
 */
export class HealthWatch {
  readonly #parts: HealthWatchParts;
  readonly #health: RouteHealth;
  #wake: () => void = () => undefined;
  #isWanted = false;

  constructor(health: RouteHealth, parts: HealthWatchParts) {
    this.#health = health;
    this.#parts = parts;
  }

  /** Looks now rather than with the next round. */
  wanted(): void {
    this.#isWanted = true;
    this.#wake();
  }

  /** A breaker changed here: the others are told with the next look, which comes at once. */
  changed(watched: WatchedBreaker): void {
    const { account, model, breaker, unsaved } = watched;
    const { metrics, log } = this.#parts;
    metrics.set("sluice_breaker_state", { account, model: model ?? "*" }, STATE_NUMBERS[breaker.state]);
    if (unsaved === "opened") {
      metrics.count("sluice_breaker_openings_total", { account });
      log.warn("breaker.opened", { account, model, because: breaker.state === "open" ? breaker.because : null });
    }
    if (unsaved !== null) this.wanted();
  }

  async run(stop: AbortSignal): Promise<void> {
    const { log } = this.#parts;
    stop.addEventListener(
      "abort",
      () => {
        this.#wake();
      },
      { once: true },
    );
    while (!stop.aborted) {
      this.#isWanted = false;
      try {
        await this.look();
      } catch (error) {
        log.warn("breakers.look_failed", { message: error instanceof Error ? error.message : String(error) });
        this.#isWanted = false; // the next round is soon enough
      }
      await this.#pause(stop);
    }
  }

  async #pause(stop: AbortSignal): Promise<void> {
    if (this.#isWanted || stop.aborted) return;
    const woken = new AbortController();
    this.#wake = () => {
      woken.abort();
    };
    await this.#parts.clock.sleep(this.#parts.lookEveryMs, woken.signal);
  }

  /** One round. @throws what the ledger says against it. */
  async look(): Promise<void> {
    const { store, clock, mayStart } = this.#parts;
    const rows = await store.breakers();
    const nowMs = clock.nowMs();
    for (const row of rows) {
      const watched = this.#health.tell(row.account, row.model);
      if (row.version > watched.version || isLeaseLost(row, watched, nowMs)) this.#adopt(watched, row, nowMs);
    }
    for (const watched of this.#health.unsaved()) {
      // Serial: breakers change seldom, and one transaction at a time is enough.
      await this.#save(watched);
    }
    if (!mayStart()) return;
    for (const watched of this.#health.due(clock.nowMs())) await this.#lease(watched);
  }

  #adopt(watched: WatchedBreaker, row: StoredBreaker, nowMs: EpochMs): void {
    watched.version = row.version;
    this.#health.step(watched, { kind: "told", shared: sharedOf(row, nowMs) });
  }

  /** Somebody who was first knows better: what they wrote is read with the next round. */
  async #save(watched: WatchedBreaker): Promise<void> {
    const { breaker, unsaved, version } = watched;
    const save = this.#saveOf(watched);
    if (save === null || unsaved === null) {
      watched.unsaved = null;
      return;
    }
    const { saved, outbox } = await this.#write(save, eventOf(watched, save, this.#parts.clock.nowMs()));
    if (saved) {
      watched.version = version + 1;
      if (watched.breaker === breaker || watched.unsaved === unsaved) watched.unsaved = null;
      this.#parts.publish(outbox);
    }
  }

  #saveOf({ account, model, version, breaker, openSinceMs }: WatchedBreaker): BreakerSave | null {
    const nowMs = this.#parts.clock.nowMs();
    const common = { account, model, version, openings: breaker.openings };
    switch (breaker.state) {
      case "open": {
        const { because, sinceMs, untilMs } = breaker;
        return { ...common, state: "open", because, openMs: nowMs - sinceMs, leftMs: untilMs - nowMs };
      }
      case "closed":
      case "degraded":
        return { ...common, state: "closed", because: "", openMs: nowMs - openSinceMs, leftMs: 0 };
      case "half_open":
        return null;
    }
  }

  async #lease(watched: WatchedBreaker): Promise<void> {
    const { breaker, account, model, version } = watched;
    if (breaker.state !== "open" && breaker.state !== "half_open") return;
    const { clock, trialMs } = this.#parts;
    const nowMs = clock.nowMs();
    const leftMs = trialMs(account);
    const { openings, because, sinceMs } = breaker;
    const save = { account, model, version, state: "half_open", openings, because, openMs: nowMs - sinceMs } as const;
    const { saved } = await this.#write({ ...save, leftMs }, null);
    if (!saved) return;
    watched.version = version + 1;
    this.#health.step(watched, { kind: "leased", untilMs: nowMs + leftMs });
  }

  async #write(save: BreakerSave, event: GatewayEvent | null) {
    const { store, session, render, reach } = this.#parts;
    const written = await store.saveBreaker(session, save, event, render);
    if (written.saved) reach?.("breaker.after_save");
    return written;
  }
}

/** Who had the lease of the trial has died with it: another may be made before its time. */
function isLeaseLost(row: StoredBreaker, { version, breaker }: WatchedBreaker, nowMs: EpochMs): boolean {
  const isOut = breaker.state === "half_open" && breaker.trial === "elsewhere" && breaker.untilMs > nowMs;
  return isOut && row.version === version && row.leftMs <= 0;
}

/** As this process's clock has it. */
export function sharedOf(row: StoredBreaker, nowMs: EpochMs): SharedBreaker {
  const { state, openings, because, openMs, leftMs, changedAgoMs } = row;
  return {
    ...{ state, openings, because },
    sinceMs: nowMs - openMs,
    untilMs: nowMs + leftMs,
    changedMs: nowMs - changedAgoMs,
  };
}

/** Once an outage each: a trial that fails is no news. */
function eventOf(
  { account, model, unsaved, openSinceMs }: WatchedBreaker,
  save: BreakerSave,
  nowMs: EpochMs,
): GatewayEvent | null {
  const subject = { account, model };
  if (unsaved === "opened") return breakerOpened(subject, save.because, nowMs + save.leftMs, nowMs);
  return unsaved === "closed" ? breakerClosed(subject, nowMs - openSinceMs, nowMs) : null;
}
