import type { SessionNo } from "../../../src/domain/ids.js";
import type { JobAdmission } from "../../../src/domain/job/admit.js";
import { answeredPrice } from "../../../src/domain/route/catalog.js";
import type { Publisher } from "../../../src/ports/broker.js";
import type { Ledger } from "../../../src/ports/ledger.js";
import type { Metrics } from "../../../src/ports/metrics.js";
import type { Clock, Log } from "../../../src/ports/system.js";
import { Caller } from "../../../src/pipeline/dispatch/caller.js";
import { DispatchStage } from "../../../src/pipeline/dispatch/dispatch-stage.js";
import { GiveBack } from "../../../src/pipeline/dispatch/give-back.js";
import { NumberSource } from "../../../src/pipeline/dispatch/number-source.js";
import { Slots } from "../../../src/pipeline/dispatch/slots.js";
import type { Work } from "../../../src/pipeline/dispatch/work.js";
import { FinishStage } from "../../../src/pipeline/finish/finish-stage.js";
import { IntakePlanner } from "../../../src/pipeline/intake/intake-planner.js";
import { IntakeStage } from "../../../src/pipeline/intake/intake-stage.js";
import { RelayStage } from "../../../src/pipeline/relay/relay-stage.js";
import { SessionKeeper } from "../../../src/pipeline/session/session-keeper.js";
import type { FakeBroker } from "./fake-broker.js";
import { FakeInbox } from "./fake-inbox.js";
import type { FakeProvider } from "./fake-provider.js";
import { ACCOUNTS, CATALOG, PLAN_ROUTES, RENDER, RENDER_SETTINGS } from "./fixture.js";
import { LedgerAway } from "./memory-database.js";
import type { Life, World } from "./world.js";

export const SESSION = { beatMs: 3000, stopAfterMs: 9000, deadAfterMs: 15_000 } as const;
const RETRY = { attemptsMax: 5, backoffBaseMs: 300, backoffMaxMs: 3000, retryAfterMaxMs: 60_000 } as const;
const CALL_TIMEOUT_MS = 8000;
/** Short enough that some of the simulated connections take longer. */
const SEND_WITHIN_MS = 50;
const CONNECT_TIMEOUT_MS = 1000;
const GRACE_MS = 4000;
const SWEEP_MS = 2000;
const SHUTDOWN_GRACE_MS = 12_000;
const NO_METRICS: Metrics = { count: () => undefined, set: () => undefined, observe: () => undefined };

export interface RouterParts {
  readonly world: World;
  readonly life: Life;
  readonly broker: FakeBroker;
  readonly ledger: Ledger;
  readonly publisher: Publisher;
  readonly providers: ReadonlyMap<string, FakeProvider>;
  readonly admission: JobAdmission;
  readonly doubtPolicy: "retry" | "fail";
  readonly aheadChance: () => number;
  readonly commitsFirst: boolean;
  /** An event that the product logs as an error: a refused group, a broken stage. */
  readonly logged: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly opened: (session: SessionNo) => void;
}

/** One router process: the real stages wired as in the app, on the simulated clock, broker, ledger and providers. */
export class SimulatedRouter {
  readonly #parts: RouterParts;
  readonly #clock: Clock;
  readonly #term = new AbortController();

  constructor(parts: RouterParts) {
    this.#parts = parts;
    this.#clock = parts.world.clock(parts.life);
  }

  /** SIGTERM. */
  terminate(): void {
    this.#term.abort();
  }

  /** Sessions one after another until SIGTERM; never resolves for a router that was killed. */
  async run(): Promise<void> {
    while (!this.#term.signal.aborted) {
      try {
        const session = await this.#parts.ledger.openSession(this.#parts.life.name);
        this.#parts.opened(session);
        await this.#runSession(session);
      } catch (error) {
        if (!(error instanceof LedgerAway)) throw error;
        await this.#clock.sleep(200);
      }
    }
  }

  async #runSession(session: SessionNo): Promise<void> {
    const { ledger } = this.#parts;
    const clock = this.#clock;
    const over = new AbortController();
    const end = (): void => {
      over.abort();
    };
    this.#term.signal.addEventListener("abort", end, { once: true });
    if (this.#term.signal.aborted) end();
    const stages = this.#buildStages(session, end);
    const { keeper, dispatch, intake, relay, finish, caller, inbox, giveBack } = stages;
    const starting = [dispatch.run(), intake.run()];
    const loops = [
      keeper.run(),
      ...starting,
      relay.runSweep(),
      giveBack.run(over.signal),
      this.#stragglers(session, over.signal, relay),
    ];
    const finishing = finish.run();
    Promise.race(loops.map((loop) => loop.then(() => new Promise<never>(() => undefined)))).catch((error: unknown) => {
      this.#parts.logged("session.stage_broke", { error });
      end();
    });
    void inbox.run();
    if (!over.signal.aborted)
      await new Promise<void>((resolve) => {
        over.signal.addEventListener(
          "abort",
          () => {
            resolve();
          },
          { once: true },
        );
      });
    const endMs = clock.monotonicMs() + SHUTDOWN_GRACE_MS;
    const left = (): number => Math.max(0, endMs - clock.monotonicMs());
    intake.stop();
    dispatch.stop();
    inbox.stop();
    // A transaction that was under way may still start calls; only after it is there nothing new.
    await Promise.race([Promise.allSettled(starting), clock.sleep(left())]);
    while (caller.inAir > 0 && left() > 5000) await clock.sleep(20);
    caller.cut();
    while (caller.inAir > 0 && left() > 0) await clock.sleep(20);
    finish.close();
    await Promise.race([finishing, clock.sleep(left())]);
    stages.giveUp();
    await giveBack.drain(left() / 2);
    await relay.drain(left());
    keeper.stop();
    await Promise.race([Promise.allSettled(loops), clock.sleep(1000)]);
    await ledger.endSession(session).catch(() => undefined);
  }

  async #stragglers(session: SessionNo, over: AbortSignal, relay: RelayStage): Promise<void> {
    while (!over.aborted) {
      await this.#clock.sleep(SWEEP_MS, over);
      try {
        relay.add((await this.#parts.ledger.answerStragglers(session, this.#clock.nowMs(), RENDER)).outbox);
      } catch (error) {
        if (!(error instanceof LedgerAway)) throw error;
      }
    }
  }

  #log(): Log {
    const quiet = (): undefined => undefined;
    return {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: (event, fields) => {
        this.#parts.logged(event, fields ?? {});
      },
    };
  }

  #buildStages(session: SessionNo, fenced: () => void) {
    const { world, life, broker, ledger, publisher, providers, admission, doubtPolicy } = this.#parts;
    const clock = this.#clock;
    let givenUp = false;
    const mendable = (error: unknown): boolean => error instanceof LedgerAway;
    const common = { ledger, session, clock, random: world.random, log: this.#log(), metrics: NO_METRICS, mendable };
    const graceMs = (): number => GRACE_MS;
    const numbers = new NumberSource(() => ledger.takeNumbers());
    const slots = new Slots(new Map(ACCOUNTS.map((account) => [account, 6])));
    const keeper = new SessionKeeper({
      ...common,
      ...SESSION,
      graceMs,
      render: RENDER,
      lowMark: () => numbers.lowMark(),
      fenced,
    });
    const relay = new RelayStage({
      ...common,
      render: RENDER,
      publisher,
      sweepAfterMs: SWEEP_MS,
      undeliverableAfterMs: 86_400_000,
      refusedRecordsMax: 50,
      replyTopics: new Set<string>(),
      recordsMax: 50,
      recordsPerSend: 8,
      bytesPerSend: 20_000,
    });
    const publish = relay.add.bind(relay);
    const groups = { groupSizeMax: 5, groupWaitMs: 5, render: RENDER };
    const finish = new FinishStage({
      ...common,
      ...groups,
      numbers,
      publish,
      givenUp: () => givenUp,
      graceMs,
      endSession: fenced,
    });
    const giveBack = new GiveBack({ ...common, slots, numbers, endSession: fenced });
    const mayStart = (): boolean => keeper.mayStart();
    const caller = new Caller({
      ...common,
      providers,
      callTimeoutMs: () => CALL_TIMEOUT_MS,
      connectTimeoutMs: () => CONNECT_TIMEOUT_MS,
      sendWithinMs: SEND_WITHIN_MS,
      slots,
      mayStart,
      judge: {
        retry: RETRY,
        graceMs,
        resultBytesMax: 1_000_000,
        answeredPrice: (work, version) => {
          const account = CATALOG.accounts.find(({ name }) => name === work.route.account);
          return account === undefined ? null : answeredPrice(account, work.route, version, CATALOG.prices);
        },
      },
      finished: (call) => {
        finish.add(call);
      },
      notSent: (work) => {
        giveBack.add(work);
      },
    });
    const start = (work: Work): void => {
      caller.start(work);
    };
    const dispatch = new DispatchStage({
      ...common,
      render: RENDER,
      planRoutes: PLAN_ROUTES,
      numbers,
      slots,
      claimSizeMax: 4,
      idlePollMs: 250,
      retry: RETRY,
      doubt: () => ({ policy: doubtPolicy, retryMaxNanoUsd: 50_000_000n }),
      mayStart,
      start,
      publish,
      fenced,
    });
    const inbox: FakeInbox = new FakeInbox({
      world,
      life,
      broker,
      ledger,
      sink: { offer: (run) => intake.offer(run) },
      aheadChance: this.#parts.aheadChance,
      commitsFirst: this.#parts.commitsFirst,
    });
    const intake: IntakeStage = new IntakeStage({
      ...common,
      ...groups,
      renderSettings: RENDER_SETTINGS,
      planner: new IntakePlanner(admission, PLAN_ROUTES),
      numbers,
      slots,
      inbox,
      slotWaitMs: 50,
      mayStart,
      backlog: {
        here: () => dispatch.backlog,
        began: () => {
          dispatch.backlogBegan();
        },
      },
      start,
      publish,
      fenced,
    });
    return {
      keeper,
      dispatch,
      intake,
      relay,
      finish,
      caller,
      inbox,
      giveBack,
      giveUp: () => {
        givenUp = true;
      },
    };
  }
}
