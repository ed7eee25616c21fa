import { Kafka, logLevel, type Admin } from "kafkajs";
import type { BudgetSample, OffsetSample, Phase, ProcessSample, QueueSample, Samples } from "./evidence/evidence.js";
import { sampleBudgets, sampleOffsets, sampleProcess, sampleQueues } from "./evidence/take-samples.js";
import type { LedgerView } from "./ledger-view.js";
import type { RouterSlot } from "./routers/router-slot.js";

export interface SamplerOptions {
  readonly ledger: LedgerView;
  readonly brokers: readonly string[];
  readonly groupId: string;
  readonly topic: string;
  readonly slots: readonly RouterSlot[];
}

const EVERY_MS = 1000;
const KAFKA_TIMEOUT_MS = 3000;

/** Looks at budgets, positions, queues and processes again and again, from outside. What can't be seen at a moment is left out. */
export class Sampler {
  readonly #options: SamplerOptions;
  readonly #admin: Admin;
  readonly #budgets: BudgetSample[] = [];
  readonly #offsets: OffsetSample[] = [];
  readonly #processes: ProcessSample[] = [];
  readonly #queues: QueueSample[] = [];
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#admin = new Kafka({
      clientId: "sluice-chaos-sampler",
      brokers: [...options.brokers],
      connectionTimeout: KAFKA_TIMEOUT_MS,
      requestTimeout: KAFKA_TIMEOUT_MS,
      retry: { retries: 1 },
      logLevel: logLevel.NOTHING,
    }).admin();
  }

  get samples(): Samples {
    return { budgets: this.#budgets, offsets: this.#offsets, processes: this.#processes, queues: this.#queues };
  }

  async start(): Promise<void> {
    await this.#admin.connect();
    await this.look("baseline");
    this.#running = this.#loop();
  }

  /** One look at everything. */
  async look(phase: Phase): Promise<void> {
    const { ledger, groupId, topic, slots } = this.#options;
    const moment = { atMs: Date.now(), phase };
    const [budgets, queue, offsets] = await Promise.all([
      ledger.use((client) => sampleBudgets(client, moment)),
      ledger.use((client) => sampleQueues(client, moment)),
      ledger.use((client) => sampleOffsets(this.#admin, client, { groupId, topic }, moment)),
    ]);
    this.#budgets.push(...(budgets ?? []));
    if (queue !== null) this.#queues.push(queue);
    this.#offsets.push(...(offsets ?? []));
    for (const { name, pid } of slots) {
      const sample = pid === null ? null : await sampleProcess({ router: name, pid }, moment);
      if (sample !== null) this.#processes.push(sample);
    }
  }

  /** Resolves when the last look is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#admin.disconnect();
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.look("running");
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }
}
