import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ServerUnreachableError, startStack } from "../stack/stack.js";
import type { Stack } from "../stack/stack.js";
import { runProcess } from "./child-process.js";
import { CleanupStack } from "./cleanup-stack.js";
import { conductKills } from "./conductor.js";
import type { KillStage, KillTally } from "./conductor.js";
import { DEFAULT_TOPICS, demoConfig, firstModels, ownTopics, simulatedAccounts } from "./demo-config.js";
import type { DemoConfigOptions, DemoTopics } from "./demo-config.js";
import { DEMO_SCOPE } from "./demo-scope.js";
import { distinctRequestKey, filmJob } from "./film-jobs.js";
import type { FilmJob } from "./film-jobs.js";
import { readFilms } from "./films.js";
import { Interrupted } from "./interrupted.js";
import { jsonJobEncoder, registryJobEncoder } from "./job-encoder.js";
import { planKills } from "./kill-plan.js";
import { openLedgerLook } from "./ledger-look.js";
import { malformedRecordCount } from "./malformed-records.js";
import { createOwnDatabase } from "./own-database.js";
import type { JobMix } from "./job-mix.js";
import { openProgress } from "./progress.js";
import type { Progress } from "./progress.js";
import { publishJobs } from "./publisher.js";
import { PublishingPace } from "./publishing-pace.js";
import { parseReaderReport } from "./reader-report.js";
import { brokenPromises, receiptJson, receiptText } from "./receipt.js";
import type { RunFacts } from "./receipt.js";
import { planRealRun } from "./real-run.js";
import type { RealRun } from "./real-run.js";
import { RouterProcess } from "./router-process.js";
import { seededRandom } from "./seeded-random.js";
import { startSimulator } from "./simulator-process.js";
import type { SimulatorProcess } from "./simulator-process.js";
import { waitForIntake, waitUntilQuiet, watchResults } from "./topic-watch.js";
import type { ResultsWatch } from "./topic-watch.js";

export interface DemoOptions {
  /** 1 or more. */
  readonly jobs: number;
  /** How often the router is killed; 0 for never. */
  readonly kill: number;
  readonly doubt: "retry" | "fail";
  readonly mix: JobMix;
  /** The receipt as one JSON object, the last line of stdout, instead of the table. */
  readonly json: boolean;
  /** Keeps the folder with config, publisher's list, bill and logs, and says where it is. */
  readonly keep: boolean;
  /** Real providers in the place of the simulator; `kill` is 0 then, since nobody can count the calls in the air. */
  readonly real: RealRun | null;
}

const CLI_SCRIPT = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const SIMULATOR_SCRIPT = fileURLToPath(new URL("../simulator/simulator-main.js", import.meta.url));
const READER_SCRIPT = fileURLToPath(new URL("./reader/reader-main.js", import.meta.url));
const PRICING_FILE = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));

const SEED = 20_261_124;
/** Answers take 150 to 400 ms when the router is killed, so that kills meet calls in the air; else they are quick. */
const LATENCY_WITH_KILLS = { latencyMs: 275, jitterMs: 125 };
const LATENCY = { latencyMs: 40, jitterMs: 20 };
/** Batches live by this: those of half an hour to an hour and a half end in 1.5 to 4.5 s. Calls keep real time. */
const BATCH_TIME_SCALE = 1200;
/** In 2.6 to 7.7 s when the router is killed, so that they outlive some of its kills as real ones would. */
const BATCH_TIME_SCALE_WITH_KILLS = 700;
/** Real models answer in seconds, and a rate limit may hold them up for a minute. */
const REAL_LIMIT_MS = 180_000;
const REAL_MS_PER_JOB = 3000;
const MIXED_MORE_MS = 60_000;
const COMMAND_TIMEOUT_MS = 60_000;
const READER_TIMEOUT_MS = 120_000;
const INTAKE_TIMEOUT_MS = 30_000;
const QUIET_MS = 1500;
const QUIET_TIMEOUT_MS = 15_000;
const LOOK_EVERY_MS = 100;

/**
 * Runs the gateway's main job from end to end on real servers and prints a receipt on stdout; everything else goes to stderr.
 * Stops all it started, also after an error, SIGINT or SIGTERM.
 * @returns the exit code: 0 only when every promise held, 1 otherwise, 4 when a server that the environment names does not answer,
 * 130 after SIGINT, 143 after SIGTERM.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const stopping = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
    stopping.abort(new Interrupted(signal));
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const cleanup = new CleanupStack();
  const progress = openProgress(process.stderr, Date.now);
  try {
    return await demo(options, stopping, cleanup, progress);
  } catch (error) {
    progress.end();
    // A failure that follows from our own stopping is not the reason for it.
    const reason: unknown = stopping.signal.aborted ? stopping.signal.reason : error;
    progress.say(`demo: ${reason instanceof Error ? reason.message : String(reason)}`);
    return exitCodeOf(reason);
  } finally {
    await cleanup.run((line) => {
      progress.say(line);
    });
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

const FAILED = 1;
const UNREACHABLE = 4;

function exitCodeOf(reason: unknown): number {
  if (reason instanceof Interrupted) return reason.exitCode;
  return reason instanceof ServerUnreachableError ? UNREACHABLE : FAILED;
}

/** Everything of a run that its steps share. */
interface Run {
  readonly options: DemoOptions;
  readonly stopping: AbortController;
  readonly cleanup: CleanupStack;
  readonly progress: Progress;
  readonly folder: string;
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  readonly environment: string;
  readonly topics: DemoTopics;
  readonly configFile: string;
  readonly aliases: Pick<DemoConfigOptions, "mix" | "shopElsewhere" | "accounts">;
  readonly databaseUrl: string;
  readonly env: Readonly<Record<string, string>>;
  /** Null: real providers. */
  readonly simulator: SimulatorProcess | null;
  readonly jobs: readonly FilmJob[];
}

async function demo(
  options: DemoOptions,
  stopping: AbortController,
  cleanup: CleanupStack,
  progress: Progress,
): Promise<number> {
  const run = await prepareRun(options, stopping, cleanup, progress);
  await prepareGateway(run);
  const router = new RouterProcess({
    cliScript: CLI_SCRIPT,
    configFile: run.configFile,
    env: run.env,
    logFile: join(run.folder, "router.log"),
    onUnexpectedEnd: (error) => {
      stopping.abort(error);
    },
  });
  cleanup.add("router", () => router.stop());
  router.start();
  if (!(await waitForIntake(run.brokers, `sluice-${run.environment}-intake`, INTAKE_TIMEOUT_MS, stopping.signal))) {
    progress.say(`the router has not begun to read within ${String(INTAKE_TIMEOUT_MS / 1000)} s; going on`);
  }
  const facts = await runJobs(run, router);
  await router.stop();
  const calls = (await run.simulator?.calls()) ?? null;
  await run.simulator?.stop();
  return await judge(run, { ...facts, calls });
}

async function prepareRun(
  options: DemoOptions,
  stopping: AbortController,
  cleanup: CleanupStack,
  progress: Progress,
): Promise<Run> {
  const say = (line: string): void => {
    progress.say(line);
  };
  const jobs = filmJobs(options.jobs, options.mix);
  say(
    `demo: ${String(options.jobs)} jobs about films, ${String(malformedRecordCount(options.jobs))} records that do not parse, ${String(options.kill)} kills`,
  );
  const folder = await mkdtemp(join(tmpdir(), "sluice-demo-"));
  cleanup.add("folder", async () => {
    if (options.keep) say(`kept: ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  });
  say("starting Kafka, Postgres, schema registry and Redis");
  const stack = await startStack({ servers: ["kafka", "postgres", "registry", "redis"], onProgress: say });
  cleanup.add("servers", () => stack.stop());
  stopping.signal.throwIfAborted();
  const place = await placeOnServers(stack, cleanup, options.keep);
  const simulator = options.real === null ? await ownSimulator(options, folder, stopping) : null;
  if (simulator !== null) cleanup.add("simulator", () => simulator.stop());
  stopping.signal.throwIfAborted();
  const aliases = {
    mix: options.mix,
    shopElsewhere: options.kill === 0,
    accounts: options.real?.accounts ?? simulatedAccounts(DEMO_SCOPE),
  };
  const configFile = join(folder, "sluice.yaml");
  await writeFile(
    configFile,
    demoConfig({
      environment: place.environment,
      topics: place.topics,
      doubt: options.doubt,
      ...aliases,
      journalFolder: join(folder, "journal"),
    }),
  );
  const env = {
    KAFKA_BROKERS: stack.addresses.kafkaBrokers,
    DATABASE_URL: place.databaseUrl,
    SCHEMA_REGISTRY_URL: stack.addresses.registryUrl,
    REDIS_URL: stack.addresses.redisUrl,
    ...(simulator === null ? options.real?.env : simulatedProviders(simulator.url)),
  };
  const brokers = stack.addresses.kafkaBrokers.split(",");
  return {
    ...place,
    options,
    stopping,
    cleanup,
    progress,
    folder,
    brokers,
    registryUrl: stack.addresses.registryUrl,
    configFile,
    aliases,
    env,
    simulator,
    jobs,
  };
}

function ownSimulator(options: DemoOptions, folder: string, stopping: AbortController): Promise<SimulatorProcess> {
  const scale = options.kill > 0 ? BATCH_TIME_SCALE_WITH_KILLS : BATCH_TIME_SCALE;
  return startSimulator({
    script: SIMULATOR_SCRIPT,
    billFile: billFile(folder),
    pricingFile: PRICING_FILE,
    seed: SEED,
    logFile: join(folder, "simulator.log"),
    onUnexpectedEnd: (error) => {
      stopping.abort(error);
    },
    ...(options.kill > 0 ? LATENCY_WITH_KILLS : LATENCY),
    ...(options.mix === "mixed" ? { moreArgs: ["--time-scale", String(scale)] } : {}),
  });
}

/** Whatever keys and addresses are in our own environment: the simulated run uses none of them. */
function simulatedProviders(url: string): Readonly<Record<string, string>> {
  return {
    OPENAI_BASE_URL: `${url}/v1`,
    OPENAI_API_KEY: "simulated-openai-key",
    ANTHROPIC_BASE_URL: url,
    ANTHROPIC_API_KEY: "simulated-anthropic-key",
  };
}

function billFile(folder: string): string {
  return join(folder, "bill.jsonl");
}

/** What `runDemo` with this many jobs would do at real providers. @throws RealRunError for what the user has to change first. */
export function realRunFor(env: Readonly<Record<string, string | undefined>>, jobs: number): RealRun {
  return planRealRun(
    env,
    filmJobs(jobs, "plain"),
    readFileSync(PRICING_FILE, "utf8"),
    new Date().toISOString().slice(0, 10),
  );
}

function filmJobs(count: number, mix: JobMix): readonly FilmJob[] {
  const films = readFilms();
  return Array.from({ length: count }, (_unused, number) => filmJob(number, films, DEMO_SCOPE, mix));
}

/** Servers of our own are empty; on given ones the run gets topics, a group and a database that nobody else has. */
async function placeOnServers(
  stack: Stack,
  cleanup: CleanupStack,
  keep: boolean,
): Promise<{ readonly environment: string; readonly topics: DemoTopics; readonly databaseUrl: string }> {
  const { databaseUrl } = stack.addresses;
  if (stack.servers.every((server) => server.how !== "environment")) {
    return { environment: "demo", topics: DEFAULT_TOPICS, databaseUrl };
  }
  const environment = `demo-${Date.now().toString(36)}`;
  const database = await createOwnDatabase(databaseUrl, environment.replace("-", "_"));
  if (!keep) cleanup.add("database", database.drop);
  return { environment, topics: ownTopics(environment), databaseUrl: database.url };
}

/** The operator's steps before the first start, by the operator's own commands. */
async function prepareGateway(run: Run): Promise<void> {
  for (const command of [["migrate"], ["topics", "apply"], ...(DEMO_SCOPE.avro ? [["schemas", "register"]] : [])]) {
    run.stopping.signal.throwIfAborted();
    run.progress.say(`sluice ${command.join(" ")}`);
    // In order: each step may need what the one before it made.
    await runProcess(
      {
        name: `sluice ${command.join(" ")}`,
        args: [CLI_SCRIPT, ...command, "--config", run.configFile],
        env: run.env,
        logFile: join(run.folder, `${command.join("-")}.log`),
        readStdout: false,
      },
      COMMAND_TIMEOUT_MS,
    );
  }
}

/** Publishes, kills and waits; ends when all answers are there or the time limit has passed. */
async function runJobs(run: Run, router: RouterProcess): Promise<Omit<RunFacts, "calls">> {
  const { options, progress, brokers, topics } = run;
  const { signal } = run.stopping;
  const watch = await watchResults(brokers, topics.results);
  run.cleanup.add("results watch", () => watch.stop());
  const encode = DEMO_SCOPE.avro ? await registryJobEncoder(run.registryUrl, topics.jobs) : jsonJobEncoder();
  const timeLimitMs = timeLimitOf(options);
  progress.say(`publishing to ${topics.jobs}; time limit ${String(timeLimitMs / 1000)} s`);
  progress.begin(options.jobs);
  const startMs = Date.now();
  const plan = planKills({ ...options, kills: options.kill }, seededRandom(SEED));
  const pace = new PublishingPace(options.jobs, plan.length);
  let killed = 0;
  const onKill = (tally: KillTally): void => {
    killed = tally.kills;
    progress.say(killLine(tally));
  };
  const stage = plan.length === 0 ? null : await killStage({ run, router, pace, onKill });
  const [, kills, allAnswered] = await allOrAbort(run.stopping, [
    publishJobs({
      brokers,
      topic: topics.jobs,
      jobs: run.jobs,
      encode,
      listFile: listFile(run),
      allowedJobs: () => pace.allowedJobs(Date.now()),
      signal,
      onPublished: () => undefined,
    }),
    stage === null ? Promise.resolve(null) : conductKills(plan, stage),
    waitForAnswers(run, watch, startMs + timeLimitMs, () => killed),
  ]);
  progress.end();
  await waitUntilQuiet(brokers, [topics.results, topics.costs, topics.deadLetters], QUIET_MS, QUIET_TIMEOUT_MS, signal);
  return {
    jobsAsked: options.jobs,
    mix: options.mix,
    distinctRequests: new Set(run.jobs.map(distinctRequestKey)).size,
    elapsedMs: (watch.lastAnswerMs() ?? Date.now()) - startMs,
    killsAsked: options.kill,
    kills,
    timeLimitPassedMs: allAnswered ? null : timeLimitMs,
  };
}

function listFile(run: Run): string {
  return join(run.folder, "published.jsonl");
}

/**
 * A stated limit for the whole way of all jobs; with kills also the session's death (15 s), the grace of doubt (30 s) and a retry. Batches
 * take some seconds more, and after a kill the grace of a creation (20 s).
 */
function timeLimitOf({ jobs, kill, mix, real }: DemoOptions): number {
  if (real !== null) return REAL_LIMIT_MS + jobs * REAL_MS_PER_JOB;
  const workMs = 60_000 + jobs * 20 + (mix === "mixed" ? MIXED_MORE_MS : 0);
  return kill === 0 ? workMs : workMs / 2 + kill * 12_000 + 60_000;
}

function killLine({ kills, killsWithWorkInFlight, callsInAirAtKills }: KillTally): string {
  return `kill ${String(kills)}: ${String(killsWithWorkInFlight)} with work in flight, ${String(callsInAirAtKills)} calls in the air so far`;
}

async function killStage({
  run,
  router,
  pace,
  onKill,
}: {
  readonly run: Run;
  readonly router: RouterProcess;
  readonly pace: PublishingPace;
  readonly onKill: KillStage["onKill"];
}): Promise<KillStage> {
  const { simulator, stopping } = run;
  const { signal } = stopping;
  if (simulator === null) throw new Error("expected a simulator: nobody else counts the calls in the air");
  const ledger = await openLedgerLook(run.databaseUrl);
  run.cleanup.add("ledger look", () => ledger.close());
  return {
    nowMs: Date.now,
    sleep: (ms) => sleep(ms, undefined, { signal }),
    publish: (phase) => {
      pace.go(phase, Date.now());
    },
    openCalls: () => simulator.openCalls(),
    callsInAir: (ms) => simulator.callsInAir(ms),
    openBatches: () => simulator.openBatches(),
    ledger: () => ledger.now(),
    stopRouter: () => {
      router.pause();
    },
    resumeRouter: () => {
      router.resume();
    },
    killRouter: () => router.kill(),
    startRouter: () => {
      router.start();
    },
    onKill,
  };
}

async function waitForAnswers(run: Run, watch: ResultsWatch, untilMs: number, killed: () => number): Promise<boolean> {
  const { options, progress } = run;
  for (;;) {
    const answered = watch.answeredJobs();
    progress.update(answered, options.kill === 0 ? "" : `${String(killed())} of ${String(options.kill)} kills`);
    if (answered >= options.jobs) return true;
    if (Date.now() >= untilMs) return false;
    await sleep(LOOK_EVERY_MS, undefined, { signal: run.stopping.signal });
  }
}

/** Waits for all; the first that fails makes the others give up too, so that nothing goes on behind the clean-up. */
async function allOrAbort<Values extends readonly unknown[]>(
  stopping: AbortController,
  work: { readonly [Index in keyof Values]: Promise<Values[Index]> },
): Promise<Values> {
  try {
    return await Promise.all(work);
  } catch (error) {
    stopping.abort(error);
    await Promise.allSettled(work);
    throw error;
  }
}

function firstModelFlags({ aliases }: Run): readonly string[] {
  return [...firstModels(aliases)].flatMap(([alias, model]) => ["--first-model", `${alias}=${model}`]);
}

/** Lets the reader look, prints the receipt. */
async function judge(run: Run, facts: RunFacts): Promise<number> {
  const { topics, options } = run;
  run.progress.say("reading all topics from the start in a process of its own");
  const report = await runProcess(
    {
      name: "reader",
      args: [
        READER_SCRIPT,
        ...["--brokers", run.brokers.join(","), "--list", listFile(run)],
        ...(run.simulator === null ? ["--no-bill"] : ["--bill", billFile(run.folder)]),
        ...["--pricing", PRICING_FILE, ...firstModelFlags(run)],
        ...["--results", topics.results, "--costs", topics.costs, "--dead-letters", topics.deadLetters],
        ...(options.kill > 0 && options.doubt === "fail" ? ["--allow-failure", "IN_DOUBT"] : []),
        ...(options.kill > 0 ? ["--direct-may-expire"] : []),
      ],
      env: {},
      logFile: join(run.folder, "reader.log"),
      readStdout: true,
    },
    READER_TIMEOUT_MS,
    [0, 1],
  );
  await writeFile(join(run.folder, "reader-report.json"), report);
  const summary = parseReaderReport(report);
  const broken = brokenPromises(summary, facts);
  if (options.json) {
    for (const line of [...broken, ...summary.findings.slice(0, 20)]) run.progress.say(`not held: ${line}`);
    process.stdout.write(`${receiptJson(summary, facts, broken)}\n`);
  } else process.stdout.write(`${receiptText(summary, facts, broken)}\n`);
  return broken.length === 0 ? 0 : 1;
}
