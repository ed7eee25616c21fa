import type { Admin } from "kafkajs";
import { rssMb } from "../bench/process-usage.js";
import type { OwnProcess } from "../demo/child-process.js";
import type { ResultReader } from "./result-reader.js";
import type { OpenLoop } from "./open-loop.js";

/** One look at a run. */
export interface Sample {
  readonly atMs: number;
  /** Published and not answered. */
  readonly open: number;
  /** Records of the jobs topic that the router has not taken: what back-pressure leaves with the broker. Null: the broker did not say. */
  readonly lag: number | null;
  readonly paused: boolean;
  /** Memory of the router, MiB. Null: it has ended. */
  readonly rssMb: number | null;
}

export interface Watched {
  readonly router: OwnProcess;
  readonly admin: Admin;
  readonly jobsTopic: string;
  readonly groupId: string;
  readonly loop: OpenLoop;
  readonly reader: ResultReader;
}

const LOOK_EVERY_MS = 1000;
/** A day of a run; longer ones keep every second look only from then on. */
const SAMPLES_MAX = 86_400;

/** Looks at a router and at its topic each second, from outside. */
export class RouterWatch {
  readonly samples: Sample[] = [];
  readonly #watched: Watched;
  #paused = false;
  /** How often fetching was stopped. */
  pauses = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(watched: Watched) {
    this.#watched = watched;
    watched.router.onStdoutLine((line) => {
      if (line.includes('"intake.paused"') && !this.#paused) this.pauses += 1;
      if (line.includes('"intake.paused"')) this.#paused = true;
      else if (line.includes('"intake.resumed"')) this.#paused = false;
    });
  }

  start(): void {
    this.#timer = setInterval(() => {
      void this.look();
    }, LOOK_EVERY_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  async look(): Promise<Sample> {
    const { router, loop, reader } = this.#watched;
    const lag = await this.#lag();
    const open = loop.published - loop.failed - reader.answered;
    const sample = { atMs: Date.now(), open, lag, paused: this.#paused, rssMb: rssMb(router.pid) };
    if (this.samples.length < SAMPLES_MAX) this.samples.push(sample);
    return sample;
  }

  async #lag(): Promise<number | null> {
    const { admin, jobsTopic, groupId } = this.#watched;
    try {
      const [ends, [committed]] = await Promise.all([
        admin.fetchTopicOffsets(jobsTopic),
        admin.fetchOffsets({ groupId, topics: [jobsTopic] }),
      ]);
      const taken = new Map(committed?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
      return ends.reduce((sum, { partition, high }) => sum + Number(high) - Math.max(0, taken.get(partition) ?? 0), 0);
    } catch {
      return null; // it is asked again in a second
    }
  }
}
