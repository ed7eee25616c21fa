import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log } from "../../ports/system.js";

/** One assigned partition as it is at one moment. */
export interface PartitionLook {
  readonly topic: string;
  readonly partition: number;
  /** The ledger's position: offset of the next record to accept. */
  readonly next: number;
  /** Next offset that the broker will give out. */
  readonly logEnd: number;
  /** Fetching is stopped on purpose: by back-pressure, by an alert, or while something it needs is away. */
  readonly stopped: boolean;
}

export interface WatchdogParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** A partition with lag whose position stands still this long is a silent stall. */
  readonly watchdogMs: number;
  /** The assigned partitions now. Rejects when ledger or broker can't be asked: then nothing is concluded. */
  readonly look: () => Promise<readonly PartitionLook[]>;
  /** True once the client gave up by itself: then nobody reads any more, and there is nothing to wait for. */
  readonly dead: () => boolean;
  /** Ends the consumer and starts it again. */
  readonly restart: () => Promise<void>;
}

/** Looks within one `watchdogMs`: with the default of 45 s a stall is ended after at most 54 s. */
const LOOKS = 5;

interface Standing {
  readonly next: number;
  readonly sinceMs: number;
}

/**
 * Restarts a consumer that silently stopped: heartbeats flow, the group is stable, records wait, and nothing comes (seen with several
 * clients for up to 26 h; confluent-kafka-javascript issue 476, parallel-consumer issue 857). A stop on purpose is no stall, and its end
 * starts the time anew.
 */
export class ConsumerWatchdog {
  readonly #parts: WatchdogParts;
  readonly #standing = new Map<string, Standing>();

  constructor(parts: WatchdogParts) {
    this.#parts = parts;
  }

  /** Runs until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, watchdogMs } = this.#parts;
    for (;;) {
      await clock.sleep(watchdogMs / LOOKS, signal);
      if (signal.aborted) return;
      await this.step();
    }
  }

  /** One look, and a restart where it is due. Never rejects. @returns whether the consumer was restarted. */
  async step(): Promise<boolean> {
    const { dead, log } = this.#parts;
    if (dead()) return this.#restart("the client gave up", null);
    try {
      const stalled = this.#stalled(await this.#parts.look());
      return stalled === null ? false : await this.#restart("a partition has lag and stands still", stalled);
    } catch (error) {
      this.#standing.clear();
      log.debug("kafka.watchdog_blind", { message: error instanceof Error ? error.message : String(error) });
      return false;
    }
  }

  #stalled(looks: readonly PartitionLook[]): PartitionLook | null {
    const nowMs = this.#parts.clock.monotonicMs();
    const before = new Map(this.#standing);
    this.#standing.clear(); // partitions that went to others are forgotten
    let stalled: PartitionLook | null = null;
    for (const look of looks) {
      if (look.stopped || look.logEnd <= look.next) continue;
      const key = `${look.topic}\0${String(look.partition)}`;
      const known = before.get(key);
      const standing = known?.next === look.next ? known : { next: look.next, sinceMs: nowMs };
      this.#standing.set(key, standing);
      if (nowMs - standing.sinceMs >= this.#parts.watchdogMs) stalled ??= look;
    }
    return stalled;
  }

  async #restart(reason: string, look: PartitionLook | null): Promise<boolean> {
    const { log, metrics, restart } = this.#parts;
    this.#standing.clear(); // the new consumer gets the whole time again
    metrics.count("sluice_consumer_restarts_total", {});
    const place =
      look === null
        ? {}
        : { topic: look.topic, partition: look.partition, next: look.next, lag: look.logEnd - look.next };
    log.error("kafka.consumer_restarted", { reason, ...place });
    try {
      await restart();
    } catch (error) {
      log.error("kafka.consumer_restart_failed", { message: error instanceof Error ? error.message : String(error) });
    }
    return true;
  }
}
