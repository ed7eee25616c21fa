import type { SessionNo } from "../../../src/domain/ids.js";
import type { Publisher } from "../../../src/ports/broker.js";
import { attemptId } from "../../../src/domain/job/ids.js";
import { Checkers, type Violation } from "./checkers.js";
import { ACCOUNTS, createSimulatedAdmission, START_MS } from "./fixture.js";
import { FakeBroker, FakePublisher } from "./fake-broker.js";
import { FakeProvider, ProviderBooks } from "./fake-provider.js";
import { jobHistory } from "./job-history.js";
import { LEDGER_RULES, type LedgerRules } from "./memory-context.js";
import { MemoryDatabase } from "./memory-database.js";
import { MemoryLedger } from "./memory-ledger.js";
import { scenarioOf, type Scenario } from "./scenario.js";
import { SimulatedRouter } from "./simulated-router.js";
import { Life, World } from "./world.js";

/** A way in which the gateway could be wrong, put in from outside to see whether the checkers find it. */
export interface PlantedBug {
  readonly rules?: Partial<LedgerRules>;
  readonly publisher?: (real: Publisher) => Publisher;
  readonly commitsFirst?: boolean;
}

export interface SimulationResult {
  readonly seed: number;
  readonly violation: Violation | null;
  /** Of the violation's job, when it is about one. */
  readonly history: string;
  readonly traceHash: string;
  readonly events: number;
  readonly kills: number;
  readonly freezes: number;
  readonly fences: number;
  readonly inDoubt: number;
}

const HORIZON_MS = 400_000;
/** An open transaction of a process that says nothing any more is ended by the database. */
const IDLE_IN_TRANSACTION_MS = 5000;

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
  readonly #checkers: Checkers;
  readonly #admission = createSimulatedAdmission();
  readonly #bug: PlantedBug;
  #running: Running[] = [];
  #lives = 0;
  #nextKill = 0;
  #pending = 0;
  #nextLookMs = START_MS + 2000;
  kills = 0;
  freezes = 0;
  /** Sessions that ended while their process lived: declared dead by others. */
  fences = 0;

  constructor(seed: number, bug: PlantedBug = {}) {
    this.#bug = bug;
    this.#scenario = scenarioOf(seed);
    this.#world = new World(seed, START_MS);
    this.#database = new MemoryDatabase(() => this.#world.nowMs);
    this.#broker = new FakeBroker(this.#world, this.#scenario.partitions);
    this.#checkers = new Checkers({
      world: this.#world,
      database: this.#database,
      broker: this.#broker,
      books: this.#books,
      scenario: this.#scenario,
    });
  }

  async run(): Promise<SimulationResult> {
    const world = this.#world;
    const { publications, freezes, terms, routers } = this.#scenario;
    for (const { atMs, record } of publications) {
      this.#pending += 1;
      world.at(atMs - START_MS, "produce", null, () => {
        this.#pending -= 1;
        this.#broker.append(record);
      });
    }
    for (let count = 0; count < routers; count += 1) this.#startAfter(world.random.between(0, 500));
    for (const { atMs, forMs } of freezes)
      world.at(atMs - START_MS, "freeze", null, () => {
        this.#freeze(forMs);
      });
    for (const atMs of terms)
      world.at(atMs - START_MS, "term", null, () => {
        this.#terminate();
      });
    world.interrupt = (life, label) => this.#killHere(life, label);
    const drained = await world.run(() => this.#checkers.violation !== null || this.#isQuiet(), START_MS + HORIZON_MS);
    if (this.#checkers.violation === null) this.#checkers.atTheEnd(drained);
    const { violation } = this.#checkers;
    return {
      seed: this.#scenario.seed,
      violation,
      history:
        violation?.jobId === null || violation === null
          ? ""
          : jobHistory(this.#database, this.#broker, this.#books, violation.jobId),
      traceHash: world.traceHash(),
      events: world.events,
      kills: this.kills,
      freezes: this.freezes,
      fences: this.fences,
      inDoubt: this.#checkers.inDoubt,
    };
  }

  /** Nothing left to do: everything published and accepted, every job ended, the outbox empty, no router stopped or on its way. */
  #isQuiet(): boolean {
    if (this.#pending > 0 || this.#world.nowMs < this.#nextLookMs) return false;
    this.#nextLookMs = this.#world.nowMs + 250;
    if (this.#running.some(({ life }) => life.stoppedUntilMs > this.#world.nowMs)) return false;
    return this.#checkers.isDrained();
  }

  #calm(): boolean {
    return this.#world.nowMs >= this.#scenario.calmMs;
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
    const { doubtPolicy, cutLedger, providerTrouble, brokerTrouble, consumerAhead } = this.#scenario;
    this.#lives += 1;
    const life = new Life(`router-${String(this.#lives)}`);
    const unlessCalm = (probability: number) => (): number => (this.#calm() ? 0 : probability);
    const cut = unlessCalm(cutLedger);
    const ledger = new MemoryLedger(
      this.#database,
      {
        step: (label) => world.step(life, label),
        breaks: () =>
          cut() > 0 && world.random.chance(cut()) ? (world.random.chance(0.5) ? "before" : "after") : "no",
      },
      { ...LEDGER_RULES, ...this.#bug.rules },
    );
    const real = new FakePublisher(world, life, this.#broker, unlessCalm(brokerTrouble));
    const sessions: SessionNo[] = [];
    const router = new SimulatedRouter({
      world,
      life,
      broker: this.#broker,
      ledger,
      publisher: this.#bug.publisher?.(real) ?? real,
      providers: new Map(
        ACCOUNTS.map((account) => [
          account,
          new FakeProvider(account, world, life, this.#books, unlessCalm(providerTrouble)),
        ]),
      ),
      admission: this.#admission,
      doubtPolicy,
      aheadChance: unlessCalm(consumerAhead),
      commitsFirst: this.#bug.commitsFirst ?? false,
      logged: (event, fields) => {
        this.#checkers.logged(event, fields);
      },
      opened: (session) => {
        if (sessions.length > 0) this.fences += 1;
        sessions.push(session);
      },
    });
    const running: Running = { life, router, ledger, sessions };
    this.#running.push(running);
    router.run().then(
      () => {
        life.dead = true;
        ledger.disconnect(true);
        this.#running = this.#running.filter((other) => other !== running);
        this.#startAfter(world.random.between(100, 2000));
      },
      (error: unknown) => {
        this.#checkers.report(
          "no_stage_breaks",
          `a router broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
          null,
        );
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
    this.kills += 1;
    this.#world.note(`KILL ${life.name} at ${label}`);
    life.dead = true;
    running.ledger.disconnect(true);
    this.#exposeCalls(running);
    this.#running = this.#running.filter((other) => other !== running);
    this.#broker.missIfSilent(life);
    this.#startAfter(this.#world.random.between(100, 6000));
    return true;
  }

  /** SIGSTOP, and SIGCONT later: long enough, and it wakes as a zombie. */
  #freeze(forMs: number): void {
    const running = this.#running.length === 0 ? undefined : this.#world.random.pick(this.#running);
    if (running === undefined) return;
    const { life, ledger } = running;
    this.freezes += 1;
    this.#world.note(`FREEZE ${life.name} for ${String(forMs)}`);
    life.stoppedUntilMs = this.#world.nowMs + forMs;
    this.#broker.missIfSilent(life);
    this.#exposeCalls(running);
    this.#world.at(IDLE_IN_TRANSACTION_MS, "idle-in-transaction", null, () => {
      if (life.stoppedUntilMs > this.#world.nowMs) ledger.disconnect(false);
    });
    this.#world.at(forMs, "thaw", null, () => {
      this.#exposeCalls(running);
    });
  }

  #terminate(): void {
    const running = this.#running.length === 0 ? undefined : this.#world.random.pick(this.#running);
    if (running === undefined) return;
    this.#world.note(`TERM ${running.life.name}`);
    running.router.terminate();
  }

  /** Calls whose end this router may never write down: only they may come in doubt. */
  #exposeCalls({ sessions }: Running): void {
    for (const row of this.#database.attempts.committed.values()) {
      if (row.state === "sending" && sessions.some((session) => session === row.session))
        this.#checkers.exposed.add(attemptId(row.execution.day, row.intent.no));
    }
  }
}

export function simulate(seed: number, bug: PlantedBug = {}): Promise<SimulationResult> {
  return new Simulation(seed, bug).run();
}
