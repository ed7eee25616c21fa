import { sessionNo } from "../../src/domain/ids.js";
import type { Outgoing, Renderer } from "../../src/domain/result/outgoing.js";
import { RelayStage, type RelayParts } from "../../src/pipeline/relay/relay-stage.js";
import type { PublishOutcome } from "../../src/ports/broker.js";
import type { GivenUp, Ledger, OutboxGroup, RefusedOutgoing } from "../../src/ports/ledger.js";
import type { Clock, Log } from "../../src/ports/system.js";

export const NOW_MS = 1_000_000_000;

/** Sleeps end when the test says so, or when they are called off. */
export class StillClock implements Clock {
  elapsedMs = 0;
  readonly sleeps: { readonly endMs: number; readonly wake: () => void }[] = [];

  nowMs(): number {
    return NOW_MS + this.elapsedMs;
  }

  monotonicMs(): number {
    return this.elapsedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      this.sleeps.push({ endMs: this.elapsedMs + ms, wake: resolve });
      signal?.addEventListener("abort", () => {
        resolve();
      });
    });
  }

  async advance(ms: number): Promise<void> {
    this.elapsedMs += ms;
    const due = this.sleeps.filter(({ endMs }) => endMs <= this.elapsedMs);
    this.sleeps.splice(0, this.sleeps.length, ...this.sleeps.filter((sleep) => !due.includes(sleep)));
    for (const { wake } of due) wake();
    await settled();
  }
}

/** Everything that waits for nothing but promises has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export function recordOf(no: number, more: Partial<Outgoing> = {}): Outgoing {
  const value = Buffer.from(`value ${String(no)}`);
  return { kind: "result", no, day: 1, topic: "replies", partition: null, key: null, headers: [], value, ...more };
}

export function groupOf(seq: number, records: readonly Outgoing[], sinceMs = NOW_MS): OutboxGroup {
  return { seq, topic: records[0]?.topic ?? "replies", records, sinceMs };
}

type Answer = (topic: string, nos: readonly number[]) => PublishOutcome | "trouble" | Promise<PublishOutcome>;

/** A relay between a stub publisher and a stub ledger, which write down what they were asked for. */
export class RelayBench {
  readonly clock = new StillClock();
  readonly sends: { readonly topic: string; readonly nos: readonly number[] }[] = [];
  readonly dropped: number[] = [];
  readonly givenUp: RefusedOutgoing[] = [];
  readonly logged: string[] = [];
  readonly relay: RelayStage;
  /** What the sweep was told to leave out, each time. */
  readonly leftOut: (readonly string[])[] = [];
  answer: Answer = () => ({ kind: "acknowledged" });
  beforeDrop: () => Promise<void> = () => Promise.resolve();
  inPlace: (refused: readonly RefusedOutgoing[]) => GivenUp = (refused) => ({
    outbox: [],
    letters: refused.length,
    held: 0,
  });

  constructor(changes: Partial<RelayParts> = {}) {
    const log = (event: string): void => {
      this.logged.push(event);
    };
    const nothing = (): undefined => undefined;
    this.relay = new RelayStage({
      ledger: this.#ledger() as Ledger, // the relay asks for no more of it
      session: sessionNo(1),
      publisher: {
        publish: async (topic, records) => {
          const nos = records.map(({ no }) => no);
          this.sends.push({ topic, nos });
          const outcome = await this.answer(topic, nos);
          if (outcome === "trouble") throw new Error("the broker is away");
          return outcome;
        },
      },
      render: {} as Renderer, // only handed on to the ledger
      clock: this.clock,
      random: { next: () => 1 },
      log: { debug: log, info: log, warn: log, error: log } satisfies Log,
      metrics: { count: nothing, set: nothing, observe: nothing },
      sweepAfterMs: 2000,
      recordsMax: 1000,
      bytesMax: 1_000_000,
      refusedRecordsMax: 500,
      replyTopics: new Set(["replies"]),
      recordsPerSend: 100,
      bytesPerSend: 1_000_000,
      costWaitMs: 0,
      undeliverableAfterMs: 60_000,
      ...changes,
    });
  }

  #ledger(): Pick<Ledger, "dropOutbox" | "giveUpOutgoing" | "takeOutbox"> {
    return {
      dropOutbox: async (seqs) => {
        await this.beforeDrop();
        this.dropped.push(...seqs);
      },
      giveUpOutgoing: (_session, refused) => {
        const outcome = this.inPlace(refused);
        this.givenUp.push(...refused);
        return Promise.resolve(outcome);
      },
      takeOutbox: (_session, _limit, _olderThanMs, butNot) => {
        this.leftOut.push(butNot);
        return Promise.resolve([]);
      },
    };
  }

  /** Numbers of the records that one send or another brought to the topic. */
  published(topic = "replies"): readonly number[] {
    return this.#acknowledged.filter((send) => send.topic === topic).flatMap(({ nos }) => nos);
  }

  readonly #acknowledged: { readonly topic: string; readonly nos: readonly number[] }[] = [];

  /** Answers as told, and remembers what was acknowledged. */
  answers(answer: Answer): void {
    this.answer = async (topic, nos) => {
      const outcome = await answer(topic, nos);
      if (outcome === "trouble") throw new Error("the broker is away");
      if (outcome.kind === "acknowledged") this.#acknowledged.push({ topic, nos });
      return outcome;
    };
  }
}
