/** Row B7 of the fault catalogue: a client that stops silently, with a stub in its place. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { ConsumerWatchdog, type PartitionLook } from "../../src/adapters/kafka/consumer-watchdog.js";
import type { Metrics } from "../../src/ports/metrics.js";
import type { Log } from "../../src/ports/system.js";

const WATCHDOG_MS = 45_000;
const LOOK_EVERY_MS = 9000;

/** A consumer of which only the outside is there: what it has accepted, what the broker holds, whether it was told to stop. */
class StubClient {
  next = 10;
  logEnd = 10;
  stopped = false;
  died = false;
  unreachable = false;
  readonly restartTimes: number[] = [];
  get restarts(): number {
    return this.restartTimes.length;
  }
  readonly lookTimes: number[] = [];

  look(nowMs: number): Promise<readonly PartitionLook[]> {
    this.lookTimes.push(nowMs);
    if (this.unreachable) return Promise.reject(new Error("no connection"));
    return Promise.resolve([
      { topic: "jobs", partition: 0, next: this.next, logEnd: this.logEnd, stopped: this.stopped },
      { topic: "jobs", partition: 1, next: nowMs, logEnd: nowMs + 5, stopped: false }, // its neighbour moves all the time
    ]);
  }
}

let client: StubClient;
let nowMs: number;
let counted: string[];
let logged: { event: string; fields: unknown }[];
let watchdog: ConsumerWatchdog;
/** Runs the watchdog for this long on the stub's clock, with `each` before each look. */
let watch: (ms: number, each?: () => void) => Promise<void>;

beforeEach(() => {
  client = new StubClient();
  nowMs = 0;
  counted = [];
  logged = [];
  let endMs = 0;
  let each: (() => void) | undefined;
  let stop = new AbortController();
  const clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms: number) => {
      nowMs += ms;
      each?.();
      if (nowMs > endMs) stop.abort();
      return Promise.resolve();
    },
  };
  const keep = (event: string, fields?: unknown): void => {
    logged.push({ event, fields });
  };
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep };
  const metrics: Metrics = {
    count: (name) => {
      counted.push(name);
    },
    set: () => undefined,
    observe: () => undefined,
  };
  watchdog = new ConsumerWatchdog({
    clock,
    log,
    metrics,
    watchdogMs: WATCHDOG_MS,
    look: () => client.look(nowMs),
    dead: () => client.died,
    restart: () => {
      client.restartTimes.push(nowMs);
      client.died = false;
      return Promise.resolve();
    },
  });
  watch = async (ms, before) => {
    endMs = nowMs + ms;
    each = before;
    stop = new AbortController();
    await watchdog.run(stop.signal);
  };
});

describe("a consumer that stops silently", () => {
  test("[B7] is started again within 60 s of lag with a frozen offset, counted and said", async () => {
    await watch(100_000);
    client.logEnd = 25;
    const stallMs = nowMs;
    await watch(60_000);
    expect(client.restartTimes.map((atMs) => atMs - stallMs)).toEqual([expect.any(Number)]);
    expect((client.restartTimes[0] ?? Infinity) - stallMs).toBeLessThanOrEqual(60_000);
    expect(counted).toEqual(["sluice_consumer_restarts_total"]);
    expect(logged.map(({ event, fields }) => ({ event, fields }))).toEqual([
      {
        event: "kafka.consumer_restarted",
        fields: { reason: "a partition has lag and stands still", topic: "jobs", partition: 0, next: 10, lag: 15 },
      },
    ]);
  });

  test("[B7] is given the whole time again after a restart, and restarted again when it stays silent", async () => {
    client.logEnd = 25;
    await watch(220_000);
    expect(client.restarts).toBe(4);
  });

  test("[B7] is started again at once when its client gave up by itself", async () => {
    client.died = true;
    await watch(LOOK_EVERY_MS);
    expect(client.restarts).toBe(1);
    expect(counted).toEqual(["sluice_consumer_restarts_total"]);
  });
});

describe("a consumer that works, or rests for a reason", () => {
  test("[B7] is left alone while its offset moves, however slowly and however large its lag", async () => {
    client.logEnd = 1_000_000;
    let looks = 0;
    await watch(600_000, () => {
      looks += 1;
      if (looks % 4 === 0) client.next += 1;
    });
    expect(client.restarts).toBe(0);
  });

  test("[B7] is left alone without lag", async () => {
    await watch(600_000);
    expect(client.restarts).toBe(0);
    expect(client.lookTimes.length).toBeGreaterThan(60);
  });

  test("[B7] is left alone while it is stopped on purpose, and gets the whole time after that", async () => {
    client.logEnd = 25;
    client.stopped = true;
    await watch(600_000);
    client.stopped = false;
    await watch(36_000);
    expect(client.restarts).toBe(0);
    await watch(36_000);
    expect(client.restarts).toBe(1);
  });

  test("[B7] is left alone while ledger or broker can't be asked", async () => {
    client.logEnd = 25;
    client.unreachable = true;
    await watch(600_000);
    expect(client.restarts).toBe(0);
    expect(logged.every(({ event }) => event === "kafka.watchdog_blind")).toBe(true);
  });
});
