/**
 * The simulator as a process. Prints one line of JSON, {"listening": url}, when it is ready; ends on SIGTERM, SIGINT and, with
 * --hold-stdin, when its standard input closes (so that it never outlives the process that started it).
 * Exit: 0 ended as told, 1 failed, 2 usage.
 */
import { parseArgs } from "node:util";
import { readJsonOptions } from "./option-files.js";
import type { JsonOptions } from "./option-files.js";
import { setUpOwnProcess } from "./own-process.js";
import { startSimulator } from "./simulator.js";
import type { SimulatorOptions } from "./simulator.js";

const USAGE = `usage: simulator --bill FILE --pricing FILE [options]
  --host HOST        default 127.0.0.1
  --port PORT        default 0: a free one
  --seed N           default 1
  --latency-ms N     default 0
  --jitter-ms N      default 0, at most --latency-ms
  --state DIR        where files and batches are kept; default: the bill's name and ".state"
  --time-scale N     how many times as fast as real time batches live; default 1
  --keys JSON        API key to account label; any other key is refused
  --models JSON      model name to {"inputPerMTok","outputPerMTok","cachedInputPerMTok"?,"contextWindow"?,"dimensions"?}
  --faults JSON      list of fault rules
  --limits JSON      rate limits and quotas to enforce
  --batch-times JSON how long the stretches of a batch's life take
                     (JSON: a file, or the text itself)
  --hold-stdin       end when standard input closes
  --json             nothing for people on standard error`;

const FLAGS = {
  host: { type: "string" },
  port: { type: "string" },
  seed: { type: "string" },
  "latency-ms": { type: "string" },
  "jitter-ms": { type: "string" },
  bill: { type: "string" },
  pricing: { type: "string" },
  keys: { type: "string" },
  models: { type: "string" },
  faults: { type: "string" },
  limits: { type: "string" },
  "batch-times": { type: "string" },
  "time-scale": { type: "string" },
  state: { type: "string" },
  "hold-stdin": { type: "boolean" },
  json: { type: "boolean" },
} as const;

class UsageError extends Error {}

function readFlags(): ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>["values"] {
  try {
    return parseArgs({ options: FLAGS, strict: true }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function required(value: string | undefined, flag: string): string {
  if (value === undefined) throw new UsageError(`expected --${flag} FILE`);
  return value;
}

function wholeNumber(value: string | undefined, flag: string, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!/^\d{1,9}$/.test(value)) throw new UsageError(`expected --${flag} to be a whole number, got "${value}"`);
  return Number(value);
}

function stated(name: keyof JsonOptions, value: string | undefined): JsonOptions {
  return value === undefined ? {} : { [name]: value };
}

function optionsFrom(flags: ReturnType<typeof readFlags>): SimulatorOptions {
  return {
    billFile: required(flags.bill, "bill"),
    pricingFile: required(flags.pricing, "pricing"),
    port: wholeNumber(flags.port, "port", 0),
    host: flags.host ?? "127.0.0.1",
    seed: wholeNumber(flags.seed, "seed", 1),
    latencyMs: wholeNumber(flags["latency-ms"], "latency-ms", 0),
    jitterMs: wholeNumber(flags["jitter-ms"], "jitter-ms", 0),
    timeScale: wholeNumber(flags["time-scale"], "time-scale", 1),
    ...(flags.state === undefined ? {} : { stateFolder: flags.state }),
    ...readJsonOptions({
      ...stated("keys", flags.keys),
      ...stated("models", flags.models),
      ...stated("faults", flags.faults),
      ...stated("limits", flags.limits),
      ...stated("batchTimes", flags["batch-times"]),
    }),
  };
}

async function run(): Promise<void> {
  setUpOwnProcess();
  const flags = readFlags();
  const simulator = await startSimulator(optionsFrom(flags));
  process.stdout.write(`${JSON.stringify({ listening: simulator.url })}\n`);
  if (flags.json !== true)
    process.stderr.write(`Simulator at ${simulator.url}; the bill is at ${simulator.url}/simulator/bill.\n`);
  const stop = (): void => {
    void simulator.close().then(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  if (flags["hold-stdin"] === true) process.stdin.resume().once("close", stop).once("end", stop);
}

run().catch((error: unknown) => {
  const isUsage = error instanceof UsageError;
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  process.stderr.write(`simulator: ${error instanceof Error ? error.message : String(error)}${cause}\n`);
  if (isUsage) process.stderr.write(`${USAGE}\n`);
  process.exit(isUsage ? 2 : 1);
});
