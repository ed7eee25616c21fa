import { parseArgs } from "node:util";

export interface ChaosOptions {
  readonly jobs: number;
  readonly minutes: number;
  readonly seed: number;
  readonly doubt: "retry" | "fail";
  readonly brokers: 1 | 3;
  /** Router kills at least; null: by the length of the run. */
  readonly kills: number | null;
  /** Whether a machine on which clocks can't be jumped fails the run. */
  readonly clocksRequired: boolean;
  readonly json: boolean;
  /** Keeps the folder with configs, lists, bill and logs, and says where it is. */
  readonly keep: boolean;
  /** Where the report goes. */
  readonly reportFolder: string;
}

export class ChaosUsageError extends Error {
  override readonly name = "ChaosUsageError";
}

export const CHAOS_USAGE = `usage: npm run chaos -- [options]
  --jobs N             default 3000
  --minutes M          how long jobs are sent and faults are made; default 2, fractions allowed
  --seed S             default 1: the same faults at the same times
  --doubt retry|fail   what happens to calls in doubt; default retry
  --brokers 1|3        default 3
  --kills N            router kills at least; default by the length of the run
  --require-clocks     fail where clocks can't be jumped (else the run says so)
  --report DIR         default chaos-report
  --json               the figures as one JSON object, the last line of stdout
  --keep               keep the run's folder and say where it is`;

const JOBS_MAX = 1_000_000;
const MINUTES_MAX = 600;
const SEED_MAX = 1_000_000_000;
const KILLS_MAX = 10_000;
/** Shorter than this nothing could be seen of most faults. */
const MINUTES_MIN = 0.5;

/** @throws ChaosUsageError that names the option. */
export function parseChaosOptions(args: readonly string[]): ChaosOptions {
  const flags = readFlags(args);
  const { doubt = "retry", brokers = "3" } = flags;
  if (doubt !== "retry" && doubt !== "fail") throw new ChaosUsageError(`--doubt: expected retry or fail, got ${doubt}`);
  if (brokers !== "1" && brokers !== "3") throw new ChaosUsageError(`--brokers: expected 1 or 3, got ${brokers}`);
  return {
    jobs: wholeNumber("--jobs", flags.jobs ?? "3000", 1, JOBS_MAX),
    minutes: minutesOf(flags.minutes ?? "2"),
    seed: wholeNumber("--seed", flags.seed ?? "1", 0, SEED_MAX),
    doubt,
    brokers: brokers === "1" ? 1 : 3,
    kills: flags.kills === undefined ? null : wholeNumber("--kills", flags.kills, 1, KILLS_MAX),
    clocksRequired: flags["require-clocks"] === true,
    json: flags.json === true,
    keep: flags.keep === true,
    reportFolder: flags.report ?? "chaos-report",
  };
}

const FLAGS = {
  jobs: { type: "string" },
  minutes: { type: "string" },
  seed: { type: "string" },
  doubt: { type: "string" },
  brokers: { type: "string" },
  kills: { type: "string" },
  report: { type: "string" },
  "require-clocks": { type: "boolean" },
  json: { type: "boolean" },
  keep: { type: "boolean" },
} as const;

function readFlags(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof FLAGS }>>["values"] {
  try {
    return parseArgs({ args: [...args], options: FLAGS, strict: true }).values;
  } catch (error) {
    throw new ChaosUsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new ChaosUsageError(`${name}: expected a whole number from ${String(min)} to ${String(max)}, got ${text}`);
}

function minutesOf(text: string): number {
  const value = /^\d{1,4}(?:\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= MINUTES_MIN && value <= MINUTES_MAX) return value;
  throw new ChaosUsageError(
    `--minutes: expected a number from ${String(MINUTES_MIN)} to ${String(MINUTES_MAX)}, got ${text}`,
  );
}
