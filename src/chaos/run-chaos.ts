import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel, type Admin } from "kafkajs";
import pg from "pg";
import { CleanupStack } from "../demo/cleanup-stack.js";
import { readFilms } from "../demo/films.js";
import { Interrupted } from "../demo/interrupted.js";
import { registryJobEncoder } from "../demo/job-encoder.js";
import { seededRandom } from "../demo/seeded-random.js";
import { waitForIntake } from "../demo/topic-watch.js";
import type { ChaosOptions } from "./chaos-options.js";
import { checkAll } from "./checkers/check-all.js";
import { GROUP_ID, openPlace, TOPICS, type ChaosPlace, type RouterPlace } from "./chaos-place.js";
import { Conductor } from "./conductor.js";
import type { Fault, SinkReading } from "./evidence/evidence.js";
import { installHistory } from "./evidence/install-history.js";
import type { ChaosStage } from "./faults/stage.js";
import { gatherEvidence } from "./gather-evidence.js";
import { LedgerView, type OpenWork } from "./ledger-view.js";
import { CLI_SCRIPT, OperatorCommands } from "./operator-commands.js";
import { planFaults } from "./plan/fault-plan.js";
import { CANCEL_POINTS, REPLAY_POINTS, ROUTER_POINTS } from "./plan/run-points.js";
import { ProgressLines } from "./progress-lines.js";
import { ChaosPublisher } from "./publishing/chaos-publisher.js";
import { readSinks } from "./read-sinks.js";
import { reportOf, type RunFacts } from "./report/chaos-report.js";
import { writeEvidence, writeReport } from "./report/write-report.js";
import { CrashPointBook } from "./routers/crash-point-book.js";
import { RouterPool } from "./routers/router-pool.js";
import { RouterSlot } from "./routers/router-slot.js";
import { runParameters } from "./run-parameters.js";
import { Sampler } from "./samples.js";
import { settle } from "./settle.js";

/** It is waited for longer than the bar, so that the report says by how much the bar was missed. */
const SETTLE_TIMEOUT_MS = 180_000;
/** Beyond the run's own length: start, settling, reading of all topics, checkers. */
const TIME_LIMIT_MORE_MS = 15 * 60_000;
const INTAKE_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 20_000;
const DRAIN_TIMEOUT_MS = 30_000;
/** All routers, brokers and other servers are stopped by then, each after its own grace. */
const CLEANUP_TIMEOUT_MS = 120_000;
const PARTITIONS = 12;
/** An operator's command that did its part and found something left over. */
const PARTLY = 6;
/** One more router may be armed than the plan has kills due, so that points that are seldom passed are waited for. */
const ARMED_AHEAD = 2;

/**
 * Runs chaos as asked and judges it. Stops all it started, also after an error, SIGINT or SIGTERM.
 * @returns the exit code: 0 everything held, 1 not so, 130 after SIGINT, 143 after SIGTERM.
 */
export async function runChaos(options: ChaosOptions): Promise<number> {
  const stopping = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
    stopping.abort(new Interrupted(signal));
  };
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const limit = setTimeout(
    () => {
      stopping.abort(new Error("the run took longer than it may"));
    },
    options.minutes * 60_000 * 1.5 + TIME_LIMIT_MORE_MS,
  );
  const cleanup = new CleanupStack();
  try {
    return await chaos(options, stopping, cleanup);
  } catch (error) {
    const reason: unknown = stopping.signal.aborted ? stopping.signal.reason : error;
    say(`chaos: ${reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)}`);
    return reason instanceof Interrupted ? reason.exitCode : 1;
  } finally {
    clearTimeout(limit);
    const giveUp = setTimeout(() => {
      say("the clean-up takes too long; what this process started ends with it");
      process.exit(1);
    }, CLEANUP_TIMEOUT_MS);
    await cleanup.run(say);
    clearTimeout(giveUp);
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

const startedMs = performance.now();

function say(line: string): void {
  process.stderr.write(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
}

async function chaos(options: ChaosOptions, stopping: AbortController, cleanup: CleanupStack): Promise<number> {
  const { signal } = stopping;
  const onUnexpectedEnd = (error: Error): void => {
    stopping.abort(error);
  };
  const place = await openPlace({ options, cleanup, signal, say, onUnexpectedEnd });
  if (place.noClockJumps !== null && options.clocksRequired) throw new Error(place.noClockJumps);
  const commands = new OperatorCommands(place.commands, place.folder);
  await prepareGateway(place, commands);
  signal.throwIfAborted();
  const work = await openWork(options, place, commands, stopping, cleanup);
  const facts = await breakAndSettle(work);
  const evidence = await gatherEvidence(place, {
    run: facts.run,
    published: work.publisher.records,
    faults: work.faults,
    samples: work.sampler.samples,
    sinks: facts.sinks,
  });
  say("judging");
  const report = reportOf(evidence, facts, checkAll(evidence));
  await writeReport(options.reportFolder, report, evidence);
  if (options.keep) await writeEvidence(join(place.folder, "evidence.json"), evidence);
  say(`report: ${join(options.reportFolder, "report.md")}`);
  for (const line of report.broken) say(`not held: ${line}`);
  process.stdout.write(options.json ? `${report.json}\n` : `${report.text}\n`);
  return report.broken.length === 0 ? 0 : 1;
}

/** The operator's steps before the first start; then the database writes down each change of a state. */
async function prepareGateway(place: ChaosPlace, commands: OperatorCommands): Promise<void> {
  for (const command of [["migrate"], ["topics", "apply"], ["schemas", "register"]]) {
    say(`sluice ${command.join(" ")}`);
    // In order: each step may need what the one before it made.
    await commands.expect(command);
  }
  const client = new pg.Client({ connectionString: place.stack.addresses.databaseUrl });
  await client.connect();
  try {
    await installHistory(client);
  } finally {
    await client.end();
  }
}

/** Everything of a run that its steps share. */
interface Work {
  readonly options: ChaosOptions;
  readonly place: ChaosPlace;
  readonly commands: OperatorCommands;
  readonly stopping: AbortController;
  readonly routers: RouterPool;
  readonly conductor: Conductor;
  readonly publisher: ChaosPublisher;
  readonly sampler: Sampler;
  readonly ledger: LedgerView;
  readonly points: CrashPointBook;
  readonly commandPoints: ChaosStage["commandPoints"];
  readonly admin: Admin;
  readonly faults: Fault[];
}

async function openWork(
  options: ChaosOptions,
  place: ChaosPlace,
  commands: OperatorCommands,
  stopping: AbortController,
  cleanup: CleanupStack,
): Promise<Work> {
  const { signal } = stopping;
  const ledger = new LedgerView(place.stack.addresses.databaseUrl);
  cleanup.add("look into the ledger", () => ledger.close());
  const faults: Fault[] = [];
  const onFault = (fault: Fault): void => {
    faults.push(fault);
  };
  const random = seededRandom(options.seed + 1);
  const points = new CrashPointBook(ROUTER_POINTS, random);
  const commandPoints = {
    replay: new CrashPointBook(REPLAY_POINTS, random),
    cancel: new CrashPointBook(CANCEL_POINTS, random),
  };
  const admin = await connectedAdmin(place.brokers);
  cleanup.add("Kafka admin", () => admin.disconnect());
  let killsDue = (): number => 0;
  const slots = place.routers.map((router) =>
    slotOf(router, (slot, end) => {
      if (slot.name === "guest") say(slot.endWords(end.end));
      else void routers.onOwnEnd(slot, end);
    }),
  );
  const [guest] = slots.slice(-1);
  if (guest === undefined) throw new Error("expected a place for a guest");
  const routers = new RouterPool({
    slots: slots.slice(0, -1),
    points,
    ledger,
    wantsKills: (kills) => kills < killsDue() + ARMED_AHEAD,
    onFault,
    say,
  });
  cleanup.add("routers", async () => {
    await Promise.all([routers.stopAll(STOP_GRACE_MS), guest.stop(STOP_GRACE_MS)]);
  });
  const films = readFilms();
  const publisher = new ChaosPublisher({
    brokers: place.brokers,
    topic: TOPICS.jobs,
    partitions: PARTITIONS,
    jobs: options.jobs,
    overMs: options.minutes * 60_000,
    films,
    encode: await registryJobEncoder(place.stack.addresses.registryUrl, TOPICS.jobs),
    listFile: join(place.folder, "published.jsonl"),
    signal,
  });
  const stage: ChaosStage = {
    routers,
    guest,
    brokers: place.brokerServers,
    postgres: serverOf(place, "postgres"),
    redis: serverOf(place, "redis"),
    brokerProxies: place.brokerProxies,
    simulator: place.simulator,
    ledger,
    groupMembers: async () => {
      const found = await admin.describeGroups([GROUP_ID]).catch(() => null);
      return found?.groups[0]?.members.length ?? null;
    },
    published: () => publisher.records,
    command: (args, armed) => commands.run(args, armed),
    commandPoints,
    sleep: (ms) => sleep(ms, undefined, { signal }),
  };
  const { seed, minutes, brokers, kills } = options;
  const plan = planFaults({
    seed,
    minutes,
    brokers,
    kills,
    routers: routers.slots.length,
    clockJumps: place.noClockJumps === null,
  });
  const conductor = new Conductor(plan, stage, onFault);
  killsDue = () => conductor.killsDue;
  const sampler = new Sampler({ ledger, brokers: place.brokers, groupId: GROUP_ID, topic: TOPICS.jobs, slots });
  cleanup.add("sampler", () => sampler.close());
  const shared = { options, place, commands, stopping, routers, conductor, publisher, sampler };
  return { ...shared, ledger, points, commandPoints, admin, faults };
}

function slotOf(router: RouterPlace, onOwnEnd: ConstructorParameters<typeof RouterSlot>[0]["onOwnEnd"]): RouterSlot {
  return new RouterSlot({ ...router, cliScript: CLI_SCRIPT, onOwnEnd });
}

function serverOf({ stack }: ChaosPlace, name: "postgres" | "redis"): ChaosPlace["stack"]["servers"][number] {
  const server = stack.servers.find(({ kind }) => kind === name);
  if (server === undefined) throw new Error(`expected a server ${name}`);
  return server;
}

async function connectedAdmin(brokers: readonly string[]): Promise<Admin> {
  const admin = new Kafka({
    clientId: "sluice-chaos",
    brokers: [...brokers],
    connectionTimeout: 2000,
    requestTimeout: 5000,
    retry: { retries: 1 },
    logLevel: logLevel.NOTHING,
  }).admin();
  await admin.connect();
  return admin;
}

/** The run itself: jobs and faults, then quiet, then the bill. */
async function breakAndSettle(work: Work): Promise<RunFacts & { readonly sinks: readonly SinkReading[] }> {
  const { options, place, routers, conductor, publisher, sampler, ledger, points, stopping, faults } = work;
  const { signal } = stopping;
  const startedAtMs = Date.now();
  await sampler.start();
  routers.startAll();
  if (!(await waitForIntake(place.brokers, GROUP_ID, INTAKE_TIMEOUT_MS, signal)))
    throw new Error("no router has begun to read within a minute");
  say(`publishing ${String(options.jobs)} jobs over ${String(options.minutes)} min, seed ${String(options.seed)}`);
  let open: OpenWork | null = null;
  const lines = new ProgressLines(
    () =>
      `${String(publisher.jobs)} jobs sent; ${String(routers.kills)} kills, ${String(points.missed.length)} points left, ${String(faults.length)} faults` +
      (open === null ? "" : `; open: ${openWords(open)}`),
    say,
  );
  try {
    await allOrAbort(stopping, [publisher.run(), conductor.run()]);
    const faultsEndedAtMs = await endFaults(work);
    say("the last fault is over; waiting until nothing is left to do");
    const settledAtMs = await settle({
      ledger,
      recordsPublished: () => recordsIn(work),
      sleep: (ms) => sleep(ms, undefined, { signal }),
      timeoutMs: SETTLE_TIMEOUT_MS,
      onLook: (look) => {
        open = look;
      },
    });
    say(settledAtMs === null ? "it did not settle" : `settled ${seconds(settledAtMs - faultsEndedAtMs)} s after it`);
    await sampler.stop();
    const unknown = await unknownOutcomes(ledger);
    await reconcile(work);
    await sampler.look("settled");
    const metrics = await metricsOf(routers);
    const callsBroken = callsLostOnPaths(place);
    await routers.stopAll(STOP_GRACE_MS);
    await place.simulator.stop();
    const run = runParameters(options, { startedAtMs, faultsEndedAtMs, settledAtMs, reconciled: true });
    const { databaseUrl, redisUrl } = place.stack.addresses;
    const sinks = { folder: place.folder, databaseUrl, redisAddress: redisUrl, metrics };
    return {
      sinks: await readSinks(sinks, run.canaries),
      options,
      run,
      tally: conductor.tally,
      kills: routers.kills,
      exits: routers.exits,
      crashPoints: points.hits,
      usualPointsHit: points.usualHit,
      crashPointsMissed: points.missed,
      commandPoints: { ...work.commandPoints.replay.hits, ...work.commandPoints.cancel.hits },
      noClockJumps: place.noClockJumps,
      sendsRepeated: publisher.retries,
      unknownOutcomes: unknown,
      callsBroken,
      left: settledAtMs === null ? open : null,
    };
  } finally {
    lines.stop();
  }
}

/** The routers that are still armed are killed, so that none kills itself later; then nothing is done to anybody any more. */
async function endFaults({ routers, faults }: Work): Promise<number> {
  routers.disarm();
  for (const [index, slot] of routers.slots.entries()) {
    const fault = slot.armed === null ? null : await routers.kill(index);
    if (fault !== null) faults.push(fault);
  }
  return Date.now();
}

/** Settles what is open by the provider's bill, and waits until the records of that are out. */
async function reconcile({ place, commands, ledger, stopping }: Work): Promise<void> {
  say("sluice costs reconcile");
  const printed = await commands.expect(["costs", "reconcile", "--bill", place.billFile, "--json"], [0, PARTLY]);
  say(printed.trim().split("\n").at(-1) ?? "");
  const untilMs = performance.now() + DRAIN_TIMEOUT_MS;
  while (performance.now() < untilMs) {
    const open = await ledger.open();
    if (open !== null && open.outboxGroups === 0) return;
    await sleep(100, undefined, { signal: stopping.signal });
  }
  say(`records of it are still not out after ${String(DRAIN_TIMEOUT_MS / 1000)} s`);
}

async function metricsOf({ slots }: RouterPool): Promise<readonly { readonly name: string; readonly text: string }[]> {
  const texts = await Promise.all(slots.map(async (slot) => ({ name: slot.name, text: (await slot.metrics()) ?? "" })));
  return texts.filter(({ text }) => text !== "");
}

/** Direct calls whose outcome nobody knows after their doubt was settled by policy. */
async function unknownOutcomes(ledger: LedgerView): Promise<number> {
  const row = await ledger.use(
    async (client) =>
      (
        await client.query<{ unknown: number }>(
          "SELECT count(*)::int AS unknown FROM attempts WHERE state IN ('in_doubt', 'settled')",
        )
      ).rows[0] ?? null,
  );
  if (row === null) throw new Error("the ledger did not answer after the last fault");
  return row.unknown;
}

function callsLostOnPaths({ routers }: ChaosPlace): number {
  return routers
    .map(({ paths }) => paths.path("simulator").counts)
    .reduce((sum, { callsBroken, callsJustAnswered }) => sum + callsBroken + callsJustAnswered, 0);
}

async function recordsIn({ admin }: Work): Promise<bigint | null> {
  const offsets = await admin.fetchTopicOffsets(TOPICS.jobs).catch(() => null);
  return offsets === null ? null : offsets.reduce((sum, { high }) => sum + BigInt(high), 0n);
}

function openWords(open: OpenWork): string {
  return Object.entries(open)
    .filter(([, count]) => Number(count) > 0)
    .map(([name, count]) => `${name} ${String(count)}`)
    .join(", ");
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

/** Waits for all; the first that fails makes the others give up too, so that nothing goes on behind the clean-up. */
async function allOrAbort(stopping: AbortController, work: readonly Promise<unknown>[]): Promise<void> {
  try {
    await Promise.all(work);
  } catch (error) {
    stopping.abort(error);
    await Promise.allSettled(work);
    throw error;
  }
}
