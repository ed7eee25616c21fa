import type { Producer } from "kafkajs";
import { dueBy } from "./steps.js";
import { jobValue, keyOf, kindOf } from "./job-kinds.js";

const TICK_MS = 20;
const RECORDS_PER_SEND = 500;

/**
 * Publishes by schedule and never waits for answers, not even for the broker's: what comes late counts from when it was due, so a slow
 * gateway can't slow the load down and look quick.
 */
export class OpenLoop {
  readonly #producer: Producer;
  readonly #topic: string;
  readonly #run: string;
  readonly #sends = new Set<Promise<unknown>>();
  #next = 0;
  #direct = 0;
  #failed = 0;

  constructor(producer: Producer, topic: string, run: string) {
    this.#producer = producer;
    this.#topic = topic;
    this.#run = run;
  }

  /** Jobs handed to the client so far. */
  get published(): number {
    return this.#next;
  }

  get publishedDirect(): number {
    return this.#direct;
  }

  /** Of those, what the broker did not take. */
  get failed(): number {
    return this.#failed;
  }

  async run(rate: number, ms: number, meanwhile: () => void = () => undefined): Promise<void> {
    const startMs = performance.now();
    const startedAtMs = Date.now();
    let done = 0;
    for (;;) {
      const elapsedMs = Math.min(ms, performance.now() - startMs);
      const due = dueBy(rate, elapsedMs);
      while (done < due) {
        const count = Math.min(RECORDS_PER_SEND, due - done);
        this.#send(count, (index) => startedAtMs + ((done + index) * 1000) / rate);
        done += count;
      }
      if (elapsedMs >= ms) return;
      meanwhile();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
  }

  #send(count: number, dueAtMs: (index: number) => number): void {
    const messages = Array.from({ length: count }, (_unused, index) => {
      const number = this.#next + index;
      if (kindOf(number).mode === "direct") this.#direct += 1;
      return { key: keyOf(number, dueAtMs(index)), value: jobValue(number, this.#run) };
    });
    this.#next += count;
    const sent: Promise<unknown> = this.#producer
      .send({ topic: this.#topic, acks: -1, messages })
      .catch(() => {
        this.#failed += count;
      })
      .finally(() => this.#sends.delete(sent));
    this.#sends.add(sent);
  }

  /** All that was handed over is with the broker, or has failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#sends);
  }
}
