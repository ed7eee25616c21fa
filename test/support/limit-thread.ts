import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { LimitRun } from "./limit-world.js";

/** A thread that runs worlds of rate limits, outside of Jest's context, where they take three times as long. One question at a time. */
export class LimitThread {
  readonly #worker = new Worker(new URL("limit-worlds-thread.mjs", import.meta.url));

  /** The runs of so many seeds, in order. @throws what a world throws. */
  async runs(first: number, seeds: number): Promise<readonly LimitRun[]> {
    return (await this.#ask({ first, seeds })) as readonly LimitRun[]; // what limit-worlds-thread.mjs posts
  }

  /** What is said of a mistake, by its name, in the first of so many seeds that shows it; null: none does. @throws what a world throws. */
  async faultOf(mistake: string, seeds: number): Promise<string | null> {
    return (await this.#ask({ mistake, seeds })) as string | null; // the same
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async #ask(question: object): Promise<unknown> {
    const reply = once(this.#worker, "message"); // rejects with an error that ended the thread
    this.#worker.postMessage(question);
    const [answer] = (await reply) as [unknown];
    return answer;
  }
}
