import { SpentAccounts } from "../../../src/pipeline/budget/spent-accounts.js";
import { PERSIST_MAX_MS } from "../../../src/pipeline/persist.js";
import type { SessionNo } from "../../../src/domain/ids.js";
import type { Catalog } from "../../../src/domain/route/catalog.js";
import type { CrashPoint, ReachPoint } from "../../../src/ports/crash-points.js";
import type { BatchProvider } from "../../../src/ports/batch-provider.js";
import type { RecordRun } from "../../../src/ports/broker.js";
import { isRegistryFramed } from "../../../src/ports/value-decoder.js";
import { attemptId, parseAttemptId } from "../../../src/domain/job/ids.js";
import {
  BATCH_FAULTS,
  BatchBooks,
  BatchService,
  FILE_RULES,
  INLINE_GRACE_MS,
  INLINE_RULES,
  LATE_MS,
  ORPHAN_LATE_MS,
  type BatchFault,
} from "./batch-service.js";
import { Checkers, type Violation } from "./checkers.js";
import { cutDown, type Kept } from "./cut-down.js";
import { ACCOUNTS, catalogOf, createSimulatedAdmission, SIDE_TOPIC, START_MS } from "./fixture.js";
import { FakeBroker, FakePublisher } from "./fake-broker.js";
import { FakeDecoder } from "./fake-decoder.js";
import { FakeBatchProvider } from "./fake-batch-provider.js";
import { FakeProvider, ProviderBooks } from "./fake-provider.js";
import { jobHistory } from "./job-history.js";
import { FakeJournal, type JournalDisk } from "./fake-journal.js";
import { LEDGER_RULES, type LedgerRules } from "./memory-context.js";
import { MemoryDatabase } from "./memory-database.js";
import { MemoryLedger } from "./memory-ledger.js";
import type { AttemptRow } from "./memory-rows.js";
import { isDeadly, scenarioOf, VALUE_BYTES_MAX, type Scenario, type ScenarioKind, type Storm } from "./scenario.js";
import { SimulatedOperator } from "./simulated-operator.js";
import { SimulatedRouter } from "./simulated-router.js";
import { Life, World } from "./world.js";

/** What was broken in a run, or had to be noticed, and how often. */
export interface Faults {
  kills: number;
  freezes: number;
  /** Of these, ended while another router called for the same execution. */
  rivals: number;
  /** Sessions that ended while their process lived: declared dead by others. */
  fences: number;
  clockJumps: number;
  /** Times in which something was away for everybody. */
  storms: number;
  /** Fetching stopped at a mark, and went on. */
  pauses: number;
  /** Of these, for the bytes of waiting bodies. */
  bytePauses: number;
  resumes: number;
  /** The schema registry could not be asked. */
  registryAway: number;
  /** Routers that died of a record. */
  deadlyReads: number;
  /** The jobs topic was made anew; records were deleted unread. */
  remakes: number;
  losses: number;
  /** Partitions that an operator adopted after they had stopped. */
  adopted: number;
  /** Dead letters that an operator replayed, by what became of them. */
  replaysQueued: number;
  replaysJoined: number;
  replaysCached: number;
  redelivered: number;
  /** Answers that a killed or fenced session could not store, and the journal gave to another. */
  answersBrought: number;
  /** Intents of a killed session that the journal proved to be unsent. */
  unsentFound: number;
}

/** What happened to batches in a run, and how often. */
export type BatchFaults = Readonly<Record<BatchFault, number>> & {
  /** Found at the provider after a doubt. */
  readonly adopted: number;
  /** Proved to be absent, and made again. */
  readonly madeAgain: number;
  /** Lines of batches that turned up after they had been given up, and those that served. */
  readonly orphansAnswered: number;
  readonly orphansServed: number;
  /** Changes that came second: their session had been declared dead, or another one had the batch. */
  readonly savesSecond: number;
  /** Lines of batches that were not taken. */
  readonly linesReturned: number;
  readonly linesAnswered: number;
  readonly linesFailed: number;
  /** Calls beside lines, and what became of both. */
  readonly rescued: number;
  readonly rescuesServed: number;
  readonly rescuesWasted: number;
  readonly rescuesFailed: number;
  readonly rescuesInDoubt: number;
};

/** What came of groups in a run. */
export interface GroupCounts extends Readonly<Record<string, number>> {
  readonly made: number;
  readonly cancelled: number;
  /** Lines by what came of them. */
  readonly answered: number;
  readonly failed: number;
  readonly inDoubt: number;
  readonly returned: number;
  /** Groups whose lines were called by more than one session. */
  readonly handedOver: number;
}

export interface SimulationResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Of the violation's job, when it is about one. */
  readonly history: string;
  readonly traceHash: string;
  readonly events: number;
  readonly simulatedMs: number;
  /** Routers that died at the named place, when one was asked for. */
  readonly crashes: number;
  readonly batchFaults: BatchFaults;
  readonly groups: GroupCounts;
  readonly faults: Readonly<Faults> & {
    readonly inDoubt: number;
    /** Executions that were opened beside a waiting one, for jobs in a hurry. */
    readonly express: number;
    /** Executions that answered a job after the deadline of the one that opened them. */
    readonly outlived: number;
    /** Records that their topic did not take: by themselves, or since the topic was missing. */
    readonly recordsRefused: number;
    readonly topicRefused: number;
    /** Records that became dead letters for it. */
    readonly undeliverable: number;
    /** Records that became dead letters since their readers died. */
    readonly crashSuspects: number;
    /** Published alerts about partitions, by cause. */
    readonly truncated: number;
    readonly otherTopic: number;
    readonly gaps: number;
    /** Jobs that came in the registry's framing. */
    readonly framed: number;
    /** Executions that waited for money, and jobs that their tenant could not pay any more. */
    readonly waitedForMoney: number;
    readonly overBudget: number;
  };
}

const HORIZON_MS = 400_000;
/** Clocks differ, by less than what it is longer. */
const CREATE_GRACE_MS = INLINE_GRACE_MS + 4000;
const LOOK_FOR_UNREAD_MS = 20;
/** So much trouble that no record arrives. */
const OUT_OF_REACH = 1e9;
const ADOPT_EVERY_MS = 7000;
/** An open transaction of a process that says nothing any more is ended by the database. */
const IDLE_IN_TRANSACTION_MS = 5000;

const REPLAYS = {
  queued: "replaysQueued",
  joined: "replaysJoined",
  cached: "replaysCached",
  redelivered: "redelivered",
} as const;

/** Some routers die at a named place: each at the nth time that it passes it, in seconds that are not calm. */
export interface CrashWish {
  readonly point: CrashPoint;
  readonly passing: number;
}
/** Enough to die one after another, and few enough that work gets done. */
const CRASHES_MAX = 3;

interface Running {
  readonly life: Life;
  readonly router: SimulatedRouter;
  readonly ledger: MemoryLedger;
  readonly sessions: SessionNo[];
}

/** One seed from the first record to the last result. */
export class Simulation {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #database: MemoryDatabase;
  readonly #broker: FakeBroker;
  readonly #books = new ProviderBooks();
  readonly #batches = new BatchBooks();
  readonly #services: readonly BatchService[];
  readonly #checkers: Checkers;
  readonly #admission = createSimulatedAdmission();
  readonly #catalog: Catalog;
  readonly #rules: LedgerRules;
  #running: Running[] = [];
  #lives = 0;
  #nextKill = 0;
  #pending = 0;
  #nextLookMs = START_MS + 2000;
  readonly #faults: Faults = {
    kills: 0,
    freezes: 0,
    rivals: 0,
    fences: 0,
    clockJumps: 0,
    storms: 0,
    pauses: 0,
    bytePauses: 0,
    resumes: 0,
    registryAway: 0,
    deadlyReads: 0,
    remakes: 0,
    losses: 0,
    adopted: 0,
    replaysQueued: 0,
    replaysJoined: 0,
    replaysCached: 0,
    redelivered: 0,
    answersBrought: 0,
    unsentFound: 0,
  };
  #savesSecond = 0;
  #crashes = 0;
  readonly #crash: CrashWish | null;
  readonly #journals: JournalDisk = new Map();

  constructor(seed: number, rules: Partial<LedgerRules>, kind: ScenarioKind, kept: Kept, crash: CrashWish | null) {
    this.#crash = crash;
    this.#rules = { ...LEDGER_RULES, ...rules };
    this.#scenario = cutDown(scenarioOf(seed, kind), kept);
    this.#world = new World(this.#scenario.worldSeed, START_MS);
    this.#database = new MemoryDatabase(() => this.#world.nowMs, this.#scenario.budgets);
    this.#broker = new FakeBroker(this.#world, this.#scenario.partitions, {
      valueBytesMax: VALUE_BYTES_MAX,
      isMissing: (topic) => topic === SIDE_TOPIC && this.#world.nowMs < this.#scenario.sideTopicMissingUntilMs,
    });
    this.#checkers = new Checkers({
      world: this.#world,
      database: this.#database,
      broker: this.#broker,
      books: this.#books,
      batches: this.#batches,
      scenario: this.#scenario,
    });
    this.#services = this.#openServices();
    const first = this.#scenario.batches?.first ?? ACCOUNTS[0];
    const others = ACCOUNTS.filter((account) => account !== first);
    this.#catalog = catalogOf([first, ...others], this.#scenario.batches?.grouped);
    const { onCall } = this.#books;
    this.#books.onCall = (id, calledMs) => {
      onCall(id, calledMs);
      this.#wakeRivals(id);
    };
  }

  async run(): Promise<SimulationResult> {
    const world = this.#world;
    const { publications, freezes, terms, clockJumps, routers } = this.#scenario;
    publications.forEach((publication, index) => {
      this.#pending += 1;
      // Also those of one millisecond in the order of the scenario.
      world.at(publication.atMs - START_MS + index / 1000, "produce", null, () => {
        this.#pending -= 1;
        publication.record = this.#broker.append(publication.record);
      });
    });
    this.#breakTheLog();
    for (let count = 0; count < routers; count += 1) this.#startAfter(world.random.between(0, 500));
    for (const { atMs, forMs } of freezes)
      world.at(atMs - START_MS, "freeze", null, () => {
        this.#freeze(forMs);
      });
    for (const atMs of terms)
      world.at(atMs - START_MS, "term", null, () => {
        this.#terminate();
      });
    for (const { atMs, byMs, forMs } of clockJumps)
      world.at(atMs - START_MS, "clock jump", null, () => {
        this.#setClockWrong(byMs, forMs);
      });
    for (const { of, atMs } of this.#scenario.storms)
      world.at(atMs - START_MS, "storm", null, () => {
        this.#faults.storms += 1;
        if (of === "ledger") for (const { ledger } of this.#running) ledger.disconnect(false);
      });
    for (const atMs of this.#scenario.batches?.cancels ?? [])
      world.at(atMs - START_MS, "cancel a group", null, () => {
        this.#cancelGroup();
      });
    for (const atMs of this.#scenario.replays) {
      this.#pending += 1;
      world.at(atMs - START_MS, "operator", null, () => {
        this.#replayAll();
      });
    }
    world.interrupt = (life, label) => this.#killHere(life, label);
    const drained = await world.run(() => this.#checkers.violation !== null || this.#isQuiet(), START_MS + HORIZON_MS);
    if (this.#checkers.violation === null) this.#checkers.atTheEnd(drained);
    return this.#result();
  }

  #result(): SimulationResult {
    const world = this.#world;
    const { violation } = this.#checkers;
    const refusals = [...this.#broker.refused.values()];
    const letters = [...this.#database.deadLetters.committed.values()];
    return {
      seed: this.#scenario.seed,
      violation,
      history:
        violation?.jobId === null || violation === null
          ? ""
          : jobHistory(this.#database, this.#broker, this.#books, violation.jobId),
      traceHash: world.traceHash(),
      events: world.events,
      simulatedMs: world.nowMs - START_MS,
      crashes: this.#crashes,
      batchFaults: this.#batchFaults(),
      groups: this.#groupCounts(),
      faults: {
        ...this.#faults,
        inDoubt: this.#checkers.inDoubt,
        express: this.#checkers.express,
        outlived: this.#checkers.outlived,
        recordsRefused: refusals.filter((of) => of === "records").length,
        topicRefused: refusals.filter((of) => of === "topic").length,
        undeliverable: letters.filter(({ code }) => code === "REPLY_UNDELIVERABLE").length,
        crashSuspects: letters.filter(({ code }) => code === "CRASH_SUSPECT").length,
        truncated: this.#checkers.alertsOf("position.truncated"),
        otherTopic: this.#checkers.alertsOf("position.other_topic"),
        gaps: this.#checkers.alertsOf("position.gap"),
        framed: this.#broker.log.flat().filter(({ value }) => isRegistryFramed(value)).length,
        waitedForMoney: this.#checkers.waitedForMoney,
        overBudget: letters.filter(({ code }) => code === "BUDGET_EXCEEDED").length,
      },
    };
  }

  #batchFaults(): BatchFaults {
    const { batchCreates, attempts } = this.#database;
    const lines = [...attempts.committed.values()].filter(({ intent }) => intent.batchNo !== undefined);
    const creates = [...batchCreates.committed.values()];
    const told = new Set(
      this.#batches.creates.map(({ told: as, batch }) => (as === "created" ? batch?.id : undefined)),
    );
    const countOf = (state: string): number => lines.filter((line) => line.state === state).length;
    const seen = Object.fromEntries(BATCH_FAULTS.map((fault) => [fault, this.#batches.seen.get(fault) ?? 0]));
    return {
      ...(seen as Record<BatchFault, number>), // one of each
      adopted: creates.filter(({ settled, providerBatchId: id }) => settled === "created" && !told.has(id ?? ""))
        .length,
      madeAgain: creates.filter(({ settled }) => settled === "absent").length,
      orphansAnswered: lines.filter(({ outAgain, state }) => outAgain === true && state === "answered").length,
      orphansServed: lines.filter((line) => line.outAgain === true && this.#served(line)).length,
      savesSecond: this.#savesSecond,
      linesReturned: countOf("not_sent"),
      linesAnswered: countOf("answered"),
      linesFailed: countOf("failed"),
      ...this.#rescues(),
    };
  }

  #served({ execution, intent }: AttemptRow): boolean {
    return this.#database.executions.committed.get(execution.no)?.answer?.facts.attempt.no === intent.no;
  }

  #rescues(): Pick<BatchFaults, "rescued" | "rescuesServed" | "rescuesWasted" | "rescuesFailed" | "rescuesInDoubt"> {
    const { attempts } = this.#database;
    const rescues = [...attempts.committed.values()].filter(({ intent }) => intent.supersedes !== undefined);
    const answered = rescues.filter(({ state }) => state === "answered");
    const served = answered.filter((row) => this.#served(row));
    return {
      rescued: rescues.length,
      rescuesServed: served.length,
      rescuesWasted: answered.length - served.length,
      rescuesFailed: rescues.filter(({ state }) => state === "failed").length,
      rescuesInDoubt: rescues.filter(({ state }) => state === "settled").length,
    };
  }

  #groupCounts(): GroupCounts {
    const { batches, attempts } = this.#database;
    const groups = [...batches.committed.values()].filter(({ batch }) => batch.way === "calls");
    const lines = [...attempts.committed.values()].filter(({ intent }) =>
      groups.some(({ batch }) => batch.no === intent.batchNo),
    );
    const countOf = (state: string): number => lines.filter((line) => line.state === state).length;
    const sessionsOf = (no: number): number => {
      const called = lines.filter(({ intent, state }) => intent.batchNo === no && state !== "not_sent");
      return new Set(called.map(({ session }) => session)).size;
    };
    return {
      made: groups.length,
      cancelled: groups.filter(({ batch }) => batch.cancelAskedAtMs !== null).length,
      answered: countOf("answered"),
      failed: countOf("failed"),
      inDoubt: countOf("settled"),
      returned: countOf("not_sent"),
      handedOver: groups.filter(({ batch }) => sessionsOf(batch.no) > 1).length,
    };
  }

  /** Nothing left to do: everything published and accepted, every job ended, the outbox empty, no router stopped or on its way. */
  #isQuiet(): boolean {
    if (this.#pending + this.#batches.onTheWay > 0 || this.#world.nowMs < this.#nextLookMs) return false;
    this.#nextLookMs = this.#world.nowMs + 250;
    if (this.#running.some(({ life }) => life.stoppedUntilMs > this.#world.nowMs)) return false;
    return this.#checkers.isDrained() && this.#checkers.knowsBatches();
  }

  /** The far sides of batch APIs: one with files and marks, one without either. */
  #openServices(): readonly BatchService[] {
    const { batches } = this.#scenario;
    if (batches === null) return [];
    const common = {
      world: this.#world,
      bill: this.#books.bill,
      books: this.#batches,
      trouble: this.#unlessCalm(batches.trouble),
      late: batches.orphans ? ORPHAN_LATE_MS : LATE_MS,
    };
    const [withFiles, inline] = ACCOUNTS;
    const services = [
      new BatchService({ ...common, account: withFiles, rules: FILE_RULES }),
      new BatchService({ ...common, account: inline, rules: INLINE_RULES }),
    ];
    return services.filter(({ account }) => !batches.grouped.some((name) => name === account));
  }

  #batchProviders(life: Life): ReadonlyMap<string, BatchProvider> {
    return new Map(this.#services.map((service) => [service.account, new FakeBatchProvider(service, life)] as const));
  }

  #calm(): boolean {
    return this.#world.nowMs >= this.#scenario.calmMs;
  }

  #unlessCalm(probability: number): () => number {
    return () => (this.#calm() ? 0 : probability);
  }

  /** @param afterMs so long after its end it counts too. */
  #inStorm(what: Storm["of"], afterMs = 0): boolean {
    const { nowMs } = this.#world;
    return this.#scenario.storms.some(
      ({ of, atMs, forMs }) => of === what && atMs <= nowMs && nowMs < atMs + forMs + afterMs,
    );
  }

  /** A process's own connection. */
  #openLedger(life: Life, spending?: SpentAccounts): MemoryLedger {
    const world = this.#world;
    const usual = this.#unlessCalm(this.#scenario.cutLedger);
    const cut = (): number => (this.#inStorm("ledger") ? 1 : usual());
    return new MemoryLedger(
      this.#database,
      {
        step: (label) => world.step(life, label),
        breaks: () =>
          cut() > 0 && world.random.chance(cut()) ? (world.random.chance(0.5) ? "before" : "after") : "no",
      },
      this.#rules,
      undefined,
      spending?.seen,
    );
  }

  #startAfter(delayMs: number): void {
    this.#pending += 1;
    this.#world.at(delayMs, "start router", null, () => {
      this.#pending -= 1;
      this.#start();
    });
  }

  #start(): void {
    const world = this.#world;
    const { doubtPolicy, providerTrouble, brokerTrouble, consumerAhead, marks, journalLoss } = this.#scenario;
    this.#lives += 1;
    const life = new Life(`router-${String(this.#lives)}`);
    const unlessCalm = (probability: number) => this.#unlessCalm(probability);
    const spending = new SpentAccounts();
    const ledger = this.#openLedger(life, spending);
    const sessions: SessionNo[] = [];
    const router = new SimulatedRouter({
      world,
      life,
      broker: this.#broker,
      ledger,
      spending,
      watchesSpending: this.#scenario.budgets.some(({ level }) => level.of === "account"),
      publisher: new FakePublisher(world, life, this.#broker, () =>
        this.#inStorm("broker") ? OUT_OF_REACH : unlessCalm(brokerTrouble)(),
      ),
      providers: new Map(
        ACCOUNTS.map((account) => [
          account,
          new FakeProvider(account, world, life, this.#books, () =>
            this.#inStorm("providers") ? 1 : unlessCalm(providerTrouble)(),
          ),
        ]),
      ),
      batchProviders: this.#batchProviders(life),
      grouped: this.#scenario.batches?.grouped ?? [],
      createGraceMs: CREATE_GRACE_MS,
      rescues: this.#scenario.batches?.rescues ?? false,
      wasSecond: () => {
        this.#savesSecond += 1;
      },
      catalog: this.#catalog,
      admission: this.#admission,
      doubtPolicy,
      openJournal: async (session) =>
        new FakeJournal({
          world,
          life,
          session,
          stamp: await ledger.sessionStamp(session),
          disk: this.#journals,
          lossChance: journalLoss,
          takenOver: (answers) => {
            const states = answers.map(({ attempt }) => this.#database.attempts.committed.get(attempt.no)?.state);
            this.#faults.answersBrought += states.filter((state) => state !== "answered").length;
          },
          told: (ended) => {
            const sending = [...this.#database.attempts.committed.values()].filter(({ state }) => state === "sending");
            for (const { session: over, mayHaveSent } of ended)
              this.#faults.unsentFound += sending.filter(
                (row) => row.session === over && !mayHaveSent.has(row.intent.no),
              ).length;
          },
        }),
      aheadChance: unlessCalm(consumerAhead),
      marks,
      decoder: new FakeDecoder(world, life, unlessCalm(this.#scenario.registryTrouble), () => {
        this.#faults.registryAway += 1;
      }),
      diesOf: (run) => this.#diesOf(life, run),
      turned: (paused) => {
        this.#faults[paused ? "pauses" : "resumes"] += 1;
      },
      paused: (reasons) => {
        if (reasons.includes("pending_bytes")) this.#faults.bytePauses += 1;
      },
      logged: (event, fields) => {
        this.#checkers.logged(event, fields);
      },
      opened: (session) => {
        if (sessions.length > 0) this.#faults.fences += 1;
        sessions.push(session);
      },
      ...(this.#crash === null ? {} : { reach: this.#reachOf(life, this.#crash) }),
    });
    const running: Running = { life, router, ledger, sessions };
    this.#running.push(running);
    router.run().then(
      () => {
        life.dead = true;
        ledger.disconnect(true);
        // With the ledger away to its end, or to its last try, it could write down nothing of what it had in hands.
        const isUnsaid = (no: SessionNo): boolean => this.#database.routers.committed.get(no)?.endedMs === null;
        if (sessions.some(isUnsaid) || this.#inStorm("ledger", PERSIST_MAX_MS)) this.#exposeCalls(running);
        this.#running = this.#running.filter((other) => other !== running);
        this.#startAfter(world.random.between(100, 2000));
      },
      (error: unknown) => {
        this.#broke("a router", error);
      },
    );
  }

  #killHere(life: Life, label: string): boolean {
    const due = this.#scenario.kills[this.#nextKill];
    if (due === undefined || this.#world.events < due || this.#calm()) return false;
    if (label === "sleep" && this.#world.random.chance(0.8)) return false;
    const running = this.#running.find((other) => other.life === life);
    if (running === undefined) return false;
    this.#nextKill += 1;
    this.#faults.kills += 1;
    this.#world.note(`KILL ${life.name} at ${label}`);
    this.#die(running);
    return true;
  }

  #die(running: Running): void {
    const { life } = running;
    life.dead = true;
    running.ledger.disconnect(true);
    this.#exposeCalls(running);
    this.#running = this.#running.filter((other) => other !== running);
    this.#broker.missIfSilent(life);
    this.#startAfter(this.#world.random.between(100, 6000));
  }

  /** What follows there of a dead router's work goes nowhere: its events are dropped, its ledger is gone. */
  #reachOf(life: Life, { point, passing }: CrashWish): ReachPoint {
    let passed = 0;
    return (reached) => {
      if (reached !== point || life.dead || this.#crashes === CRASHES_MAX || this.#calm()) return;
      passed += 1;
      const running = this.#running.find((other) => other.life === life);
      if (passed !== passing || running === undefined) return;
      this.#crashes += 1;
      this.#world.note(`${life.name} dies at ${point}`);
      this.#die(running);
    };
  }

  /** Before a router reads records: whether it dies of one. A refused one is not read. */
  #diesOf(life: Life, { records, decoded }: RecordRun): boolean {
    if (!records.some((record) => isDeadly(record) && decoded?.get(record)?.kind !== "refused")) return false;
    const running = this.#running.find((other) => other.life === life);
    if (running === undefined) return false;
    this.#faults.deadlyReads += 1;
    this.#world.note(`${life.name} dies of a record`);
    this.#die(running);
    return true;
  }

  /** SIGSTOP, and SIGCONT later: long enough, and it wakes as a zombie. */
  #freeze(forMs: number): void {
    const running = this.#anyCalling() ?? this.#anyRunning();
    if (running === undefined) return;
    const { life, ledger } = running;
    this.#faults.freezes += 1;
    this.#world.note(`FREEZE ${life.name} for ${String(forMs)}`);
    this.#world.stop(life, forMs, () => {
      this.#exposeCalls(running);
    });
    this.#broker.missIfSilent(life);
    this.#exposeCalls(running);
    this.#world.at(IDLE_IN_TRANSACTION_MS, "idle-in-transaction", null, () => {
      if (life.stoppedUntilMs > this.#world.nowMs) ledger.disconnect(false);
    });
  }

  /** A stopped router that had called for the same execution may wake just now: with its call's end in hand, and another call in the air. */
  #wakeRivals(id: string): void {
    const stopped = this.#running.filter(({ life }) => life.stoppedUntilMs > this.#world.nowMs);
    if (stopped.length === 0) return;
    const attempts = [...this.#database.attempts.committed.values()];
    const no = parseAttemptId(id)?.no;
    const execution = attempts.find(({ intent }) => intent.no === no)?.execution.no;
    for (const running of stopped) {
      const called = attempts.some(
        (row) => row.execution.no === execution && running.sessions.some((session) => session === row.session),
      );
      if (!called || this.#world.random.chance(0.3)) continue;
      this.#world.at(this.#world.random.next() * 20, "wake", null, () => {
        if (running.life.stoppedUntilMs <= this.#world.nowMs) return;
        this.#faults.rivals += 1;
        this.#world.wake(running.life);
        this.#exposeCalls(running);
      });
    }
  }

  #breakTheLog(): void {
    const world = this.#world;
    const { remadeAtMs, lossAtMs } = this.#scenario;
    if (lossAtMs !== null)
      world.at(lossAtMs - START_MS, "retention", null, () => {
        this.#loseUnread();
      });
    if (remadeAtMs === null) return;
    this.#pending += 1;
    world.at(remadeAtMs - START_MS, "topic made anew", null, () => {
      this.#pending -= 1;
      this.#faults.remakes += 1;
      this.#broker.remake((partition) => this.#checkers.positionOf(partition));
      this.#adoptAgain();
    });
  }

  /** Once, of the first partition that has something unread. */
  #loseUnread(): void {
    const broker = this.#broker;
    const unread = broker.log.findIndex((log, partition) => log.length > this.#checkers.positionOf(partition));
    if (unread === -1 || broker.remade) {
      if (!this.#calm())
        this.#world.at(LOOK_FOR_UNREAD_MS, "retention", null, () => {
          this.#loseUnread();
        });
      return;
    }
    this.#faults.losses += 1;
    broker.deleteRecords(unread, this.#checkers.positionOf(unread));
  }

  /** An operator who looks at the status from time to time. */
  #adoptAgain(): void {
    this.#world.at(ADOPT_EVERY_MS, "operator", null, () => {
      this.#operator()
        .adoptStopped((partition) => this.#broker.bounds(partition).low)
        .then(
          (adopted) => {
            this.#faults.adopted += adopted;
            this.#adoptAgain();
          },
          (error: unknown) => {
            this.#broke("an operator's command", error);
          },
        );
    });
  }

  #replayAll(): void {
    this.#operator()
      .run()
      .then(
        () => {
          this.#pending -= 1;
        },
        (error: unknown) => {
          this.#broke("an operator's command", error);
        },
      );
  }

  #operator(): SimulatedOperator {
    const world = this.#world;
    this.#lives += 1;
    const life = new Life(`operator-${String(this.#lives)}`);
    return new SimulatedOperator({
      world,
      life,
      database: this.#database,
      ledger: this.#openLedger(life),
      admission: this.#admission,
      decoder: new FakeDecoder(
        world,
        life,
        () => 0,
        () => undefined,
      ),
      replayed: (outcome) => {
        if (outcome.kind === "replayed") this.#faults[REPLAYS[outcome.how]] += 1;
      },
    });
  }

  #broke(what: string, error: unknown): void {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#checkers.report("no_stage_breaks", `${what} broke: ${told}`, null);
  }

  /** Somebody sets a router's wall clock, and sets it right later. */
  #setClockWrong(byMs: number, forMs: number): void {
    const running = this.#anyRunning();
    if (running === undefined) return;
    const { life } = running;
    this.#faults.clockJumps += 1;
    this.#world.note(`CLOCK of ${life.name} jumps by ${String(byMs)}`);
    life.wallOffMs += byMs;
    this.#world.at(forMs, "clock set right", null, () => {
      life.wallOffMs -= byMs;
    });
  }

  #anyRunning(): Running | undefined {
    return this.#running.length === 0 ? undefined : this.#world.random.pick(this.#running);
  }

  /** A router with a call in the air: a stop hurts most there. */
  #anyCalling(): Running | undefined {
    const attempts = [...this.#database.attempts.committed.values()];
    const calling = this.#running.filter(({ sessions }) =>
      attempts.some((row) => row.state === "sending" && sessions.some((session) => session === row.session)),
    );
    return calling.length === 0 ? undefined : this.#world.random.pick(calling);
  }

  /** As an operator's command: the row is told, and whoever holds the group finds its version outdated. */
  #cancelGroup(): void {
    const { batches } = this.#database;
    const open = [...batches.committed.values()].filter(({ batch }) => batch.way === "calls" && batch.state !== "done");
    const chosen = open.find(({ batch }) => batch.state === "submitted") ?? open[0];
    if (chosen === undefined || chosen.batch.state === "failed") return;
    const transaction = this.#database.begin(this);
    if (!transaction.tryLock(batches, chosen.batch.no, "exclusive")) {
      this.#database.abort(transaction);
      return;
    }
    const { nowMs } = this.#world;
    const { version, nextAtMs } = chosen.batch;
    const asked = { version: version + 1, cancelAskedAtMs: nowMs, nextAtMs: Math.min(nextAtMs ?? nowMs, nowMs) };
    transaction.update(batches, chosen.batch.no, { batch: { ...chosen.batch, ...asked } });
    this.#database.commit(transaction);
  }

  #terminate(): void {
    const running = this.#anyRunning();
    if (running === undefined) return;
    this.#world.note(`TERM ${running.life.name}`);
    // A stopped process hears of it when it goes on.
    this.#world.at(0, "sigterm", running.life, () => {
      running.router.terminate();
    });
  }

  /** Calls whose end this router may never write down: only they may come in doubt. And the record that it was about to read alone. */
  #exposeCalls({ sessions }: Running): void {
    this.#checkers.exposeMarks(sessions);
    for (const row of this.#database.attempts.committed.values()) {
      if (row.state === "sending" && sessions.some((session) => session === row.session))
        this.#checkers.exposed.add(attemptId(row.execution.day, row.intent.no));
    }
  }
}

/**
 * @param rules of the ledger in memory that are other than the real ones: a way to be wrong, to see who finds it. Ways in which the product
 * could be wrong are patches in test/planted.
 * @param kept of the seed's scenario; all of it when left out.
 * @param crash a router that dies at a named place; null: none does.
 */
export function simulate(
  seed: number,
  rules: Partial<LedgerRules> = {},
  kind: ScenarioKind = "direct",
  kept: Kept = {},
  crash: CrashWish | null = null,
): Promise<SimulationResult> {
  return new Simulation(seed, rules, kind, kept, crash).run();
}
