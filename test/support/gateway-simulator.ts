import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startSimulator, type SimulatorProcess } from "../../src/demo/simulator-process.js";

const SCRIPT = fileURLToPath(new URL("../../dist/simulator/simulator-main.js", import.meta.url));
const PRICING = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));

/** A row of the provider's bill, with what tests look at. */
export interface BillRow {
  readonly requestId: string;
  readonly attempt: string | null;
  readonly nanoUsd: string;
  readonly mode: "direct" | "batch";
  /** The provider's id of the batch; only there for a line of one. */
  readonly batch?: string;
}

/** A batch as the simulated provider has it. */
export interface SimulatedBatch {
  readonly provider: string;
  readonly id: string;
  readonly state: string;
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly removed: boolean;
}

/** The simulated provider of one test, as a process, with its controls. */
export class GatewaySimulator {
  readonly url: string;
  readonly #process: SimulatorProcess;

  static async start(folder: string, latencyMs: number, moreArgs: readonly string[] = []): Promise<GatewaySimulator> {
    const child = await startSimulator({
      script: SCRIPT,
      billFile: join(folder, "bill.jsonl"),
      pricingFile: PRICING,
      latencyMs,
      jitterMs: 0,
      seed: 1,
      logFile: join(folder, "simulator.log"),
      moreArgs,
      onUnexpectedEnd: (error) => {
        process.stderr.write(`${error.message}\n`);
      },
    });
    return new GatewaySimulator(child);
  }

  private constructor(child: SimulatorProcess) {
    this.#process = child;
    this.url = child.url;
  }

  /** Billed calls so far, in the order they were billed. */
  async bill(): Promise<readonly BillRow[]> {
    const text = await this.billText();
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as BillRow); // the simulator's README says what a row is
  }

  /** The bill as its file would have it, one JSON object a line. */
  async billText(): Promise<string> {
    return (await fetch(`${this.url}/simulator/bill`)).text();
  }

  async billedNanoUsd(): Promise<bigint> {
    return (await this.bill()).reduce((sum, row) => sum + BigInt(row.nanoUsd), 0n);
  }

  /** Every batch that was ever created there. */
  async batches(): Promise<readonly SimulatedBatch[]> {
    const response = await fetch(`${this.url}/simulator/batches`);
    return ((await response.json()) as { readonly batches: readonly SimulatedBatch[] }).batches; // the simulator's README says what one is
  }

  /** How often each kind of fault struck. */
  async faultsFired(): Promise<Readonly<Record<string, number>>> {
    const response = await fetch(`${this.url}/simulator/stats`);
    return ((await response.json()) as { readonly faults: Readonly<Record<string, number>> }).faults; // the same
  }

  /** Calls received and not yet answered. */
  openCalls(): Promise<number> {
    return this.#process.openCalls();
  }

  /** The most calls that were open at once since it started. */
  async openCallsMax(): Promise<number> {
    const response = await fetch(`${this.url}/simulator/stats`);
    return ((await response.json()) as { readonly openMax: number }).openMax; // the simulator's README says what it is
  }

  async setLatency(ms: number): Promise<void> {
    await this.#post("/simulator/latency", { ms, jitterMs: 0 });
  }

  async setFaults(rules: readonly unknown[]): Promise<void> {
    await this.#post("/simulator/faults", rules);
  }

  /** How long the stretches of a batch's life take, in simulated milliseconds. */
  async setBatchTimes(times: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#post("/simulator/batch-times", times);
  }

  async #post(path: string, body: unknown): Promise<void> {
    const response = await fetch(`${this.url}${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
