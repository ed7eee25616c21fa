import { endText, logTail, startProcess, stopProcess } from "./child-process.js";
import type { OwnProcess } from "./child-process.js";
import { asObject, numberField, parseObject, textField } from "./reader/json-fields.js";

/** The simulated providers as the demo sees them: a process with an address, its own count of calls, and a bill. */
export interface SimulatorProcess {
  readonly url: string;
  readonly child: OwnProcess;
  /** Calls received since its start. */
  readonly calls: () => Promise<number>;
  readonly openCalls: () => Promise<number>;
  /** Calls open now, or answered within the last `ms`; each counted once. */
  readonly callsInAir: (answeredWithinMs: number) => Promise<number>;
  /** Batches that have not ended. */
  readonly openBatches: () => Promise<number>;
  /** Ends it; when this resolves, the bill file is complete. */
  readonly stop: () => Promise<void>;
}

export interface SimulatorOptions {
  readonly script: string;
  readonly billFile: string;
  readonly pricingFile: string | null;
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly seed: number;
  readonly logFile: string;
  /** Further flags of its program. */
  readonly moreArgs?: readonly string[];
  /** Called when it ends before `stop` was. */
  readonly onUnexpectedEnd: (error: Error) => void;
}

const START_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 5000;
const STOP_GRACE_MS = 5000;

/** @throws Error with the end of its log when it does not say within 20 s where it listens. */
export async function startSimulator(options: SimulatorOptions): Promise<SimulatorProcess> {
  const pricing = options.pricingFile === null ? [] : ["--pricing", options.pricingFile];
  const child = startProcess({
    name: "simulator",
    args: [
      options.script,
      ...["--port", "0", "--bill", options.billFile, ...pricing],
      ...[
        "--latency-ms",
        String(options.latencyMs),
        "--jitter-ms",
        String(options.jitterMs),
        "--seed",
        String(options.seed),
      ],
      ...(options.moreArgs ?? []),
      "--hold-stdin",
    ],
    env: {},
    logFile: options.logFile,
    readStdout: true,
  });
  const url = await listeningUrl(child);
  let stopped = false;
  void child.ended.then((end) => {
    if (!stopped)
      options.onUnexpectedEnd(
        new Error(`the simulator ${endText(end)}; the end of its log:\n${logTail(child.logFile)}`),
      );
  });
  const stats = (): Promise<Readonly<Record<string, unknown>>> => getObject(`${url}/simulator/stats`);
  return {
    url,
    child,
    calls: async () => requiredNumber(await stats(), "calls"),
    openCalls: async () => requiredNumber(await stats(), "open"),
    callsInAir: (answeredWithinMs) => callsInAir(url, answeredWithinMs),
    openBatches: () => openBatches(url),
    stop: () => {
      stopped = true;
      return stopProcess(child, STOP_GRACE_MS);
    },
  };
}

async function listeningUrl(child: OwnProcess): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const said = new Promise<string | null>((resolve) => {
    timer = setTimeout(resolve, START_TIMEOUT_MS, null);
    child.onStdoutLine((line) => {
      const object = parseObject(line);
      const url = object === null ? null : textField(object, "listening");
      if (url !== null) resolve(url.replace(/\/$/, ""));
    });
  });
  const url = await Promise.race([said, child.ended.then(() => null)]);
  clearTimeout(timer);
  if (url !== null) return url;
  await stopProcess(child, 0);
  throw new Error(`expected the simulator to say where it listens; the end of its log:\n${logTail(child.logFile)}`);
}

async function callsInAir(url: string, answeredWithinMs: number): Promise<number> {
  const recent = await getObject(`${url}/simulator/recent?ms=${String(Math.ceil(answeredWithinMs))}`);
  // One answer for one moment; an attempt that is in both lists still counts once.
  return new Set([...attemptsIn(recent, "openAttempts"), ...attemptsIn(recent, "attempts")]).size;
}

const ENDED_STATES: ReadonlySet<unknown> = new Set(["completed", "failed", "expired", "cancelled"]);

async function openBatches(url: string): Promise<number> {
  const { batches } = await getObject(`${url}/simulator/batches`);
  if (!Array.isArray(batches)) throw new Error("expected a list batches from the simulator");
  return batches.filter((batch) => !ENDED_STATES.has(asObject(batch)?.["state"])).length;
}

function attemptsIn(object: Readonly<Record<string, unknown>>, name: string): readonly unknown[] {
  const attempts = object[name];
  if (!Array.isArray(attempts)) throw new Error(`expected a list ${name} from the simulator`);
  return attempts;
}

function requiredNumber(object: Readonly<Record<string, unknown>>, name: string): number {
  const value = numberField(object, name);
  if (value === null) throw new Error(`expected a number ${name} from the simulator`);
  return value;
}

async function getObject(url: string): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  const object = asObject(await response.json());
  if (!response.ok || object === null)
    throw new Error(`expected a JSON object from ${url}, status ${String(response.status)}`);
  return object;
}
