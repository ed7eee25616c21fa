import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startSimulator, type SimulatorProcess } from "../demo/simulator-process.js";

/** When and how the simulated provider misbehaves; the simulator's README says what there is. */
export interface FaultRule {
  readonly match?: { readonly operation?: string };
  readonly fault: { readonly kind: string } & Readonly<Record<string, unknown>>;
}

/** A row of the provider's bill, as far as the matrix compares it. */
export interface BilledRow {
  readonly attempt: string | null;
  readonly nanoUsd: string;
}

export interface SimulatedOptions {
  readonly script: string;
  readonly pricingFile: string;
  readonly folder: string;
  /** How many times as fast as real time batches live. */
  readonly timeScale: number;
  readonly models: Readonly<Record<string, { readonly inputPerMTok: string; readonly outputPerMTok: string }>>;
}

/** The simulated providers as a process, with their controls, which no real provider has. */
export class Simulated {
  readonly url: string;
  readonly #process: SimulatorProcess;

  static async start(options: SimulatedOptions): Promise<Simulated> {
    const modelsFile = join(options.folder, "models.json");
    writeFileSync(modelsFile, JSON.stringify(options.models));
    const started = await startSimulator({
      script: options.script,
      billFile: join(options.folder, "bill.jsonl"),
      pricingFile: options.pricingFile,
      latencyMs: 0,
      jitterMs: 0,
      seed: 1,
      logFile: join(options.folder, "simulator.log"),
      moreArgs: ["--time-scale", String(options.timeScale), "--models", modelsFile],
      onUnexpectedEnd: (error) => process.stderr.write(`${error.message}\n`),
    });
    return new Simulated(started);
  }

  private constructor(started: SimulatorProcess) {
    this.#process = started;
    this.url = started.url;
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  /** @throws Error when the simulator does not take the rules. */
  async setFaults(rules: readonly FaultRule[]): Promise<void> {
    const response = await fetch(`${this.url}/simulator/faults`, { method: "POST", body: JSON.stringify(rules) });
    if (response.status !== 200) throw new Error(`the simulator refused the faults: ${await response.text()}`);
  }

  /** How often each kind of fault has struck so far. */
  async faultsFired(): Promise<Readonly<Record<string, number>>> {
    const stats = await (await fetch(`${this.url}/simulator/stats`)).json();
    return (stats as { readonly faults: Readonly<Record<string, number>> }).faults; // its README says so
  }

  async billOf(attempts: ReadonlySet<string>): Promise<readonly BilledRow[]> {
    const text = await (await fetch(`${this.url}/simulator/bill`)).text();
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as BilledRow) // its README says what a row is
      .filter(({ attempt }) => attempt !== null && attempts.has(attempt));
  }
}
