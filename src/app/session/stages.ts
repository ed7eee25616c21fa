import type { SessionNo } from "../../domain/ids.js";
import { isByKind, type CallKind } from "../../domain/limit/limits.js";
import { createRenderer } from "../../domain/result/render.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import { answeredBy } from "../../domain/route/catalog.js";
import { familyOf } from "../../domain/route/format-family.js";
import { createRoutePlanner, type PlanRoutes } from "../../domain/route/plan-routes.js";
import { UNKNOWN_CONDITIONS, type RouteConditions } from "../../domain/route/route-condition.js";
import type { Journal } from "../../ports/journal.js";
import type { Inbox } from "../../ports/broker.js";
import type { OutboxGroup } from "../../ports/ledger.js";
import type { FinishListener, IntakeListener } from "../../pipeline/alert/tally-recorder.js";
import { BatchOutlook } from "../../pipeline/batch/batch-outlook.js";
import type { BatchAccount } from "../../pipeline/batch/batch-parts.js";
import { BatchStage } from "../../pipeline/batch/batch-stage.js";
import { GroupCalls } from "../../pipeline/batch/group-calls.js";
import { groupLines } from "../../pipeline/batch/group-lines.js";
import { PoolReadings } from "../../pipeline/batch/pool-readings.js";
import { LinePlanner, type LineAccount } from "../../pipeline/batch/line-planner.js";
import { LineRoutes } from "../../pipeline/batch/line-routes.js";
import { watchedProvider } from "../../pipeline/batch/watched-provider.js";
import type { JudgeSettings } from "../../pipeline/dispatch/call-judge.js";
import { CallTimes } from "../../pipeline/dispatch/call-times.js";
import { CallGate } from "../../pipeline/dispatch/call-gate.js";
import { Caller } from "../../pipeline/dispatch/caller.js";
import { DispatchStage } from "../../pipeline/dispatch/dispatch-stage.js";
import { HealthWatch } from "../../pipeline/dispatch/health-watch.js";
import { GiveBack } from "../../pipeline/dispatch/give-back.js";
import { RateLimits } from "../../pipeline/dispatch/rate-limits.js";
import { NumberSource } from "../../pipeline/dispatch/number-source.js";
import { RouteChooser } from "../../pipeline/dispatch/route-chooser.js";
import { RouteHealth } from "../../pipeline/dispatch/route-health.js";
import { Slots } from "../../pipeline/dispatch/slots.js";
import type { Work } from "../../pipeline/dispatch/work.js";
import { FinishStage } from "../../pipeline/finish/finish-stage.js";
import { IntakePlanner } from "../../pipeline/intake/intake-planner.js";
import { IntakeStage } from "../../pipeline/intake/intake-stage.js";
import { RelayStage } from "../../pipeline/relay/relay-stage.js";
import { SessionKeeper } from "../../pipeline/session/session-keeper.js";
import { inDoubtOf } from "./in-doubt-of.js";
import type { InDoubtSettings, SessionParts } from "./session-parts.js";

export interface StagesParts extends SessionParts {
  readonly session: SessionNo;
  readonly inbox: Inbox;
  readonly journal: Journal;
  /** The session must end: it was declared dead, or something of it can't be written. */
  readonly endSession: (reason: string) => void;
  /** Only there when somebody counts what calls come to. */
  readonly listener?: FinishListener & IntakeListener;
}

/**
 * The stages of one session, wired together; nothing of them runs yet. The only place that wires them, for routers and the simulation.
 *
 * A call's way: intake stores it as a `ready` row, or at once as an intent (attempt `sending`) where a place is free; a claim makes an intent
 * of the row. Then the bytes leave, and the answer goes through finish and the outbox to its topic. No byte sent in time: given back, `ready`
 * again. Killed in between: what its journal has is stored or given back by the next session on that disk; for the rest, the session is
 * declared dead (`postgres.session.deadAfterMs`), its calls are `in_doubt`, and after the grace each is settled by policy.
 *
 * A line's way: intake puts it into a pool (`batch_ready`, by `LinePlanner`), a builder binds it to a row of `batches` (attempt `batched`), and
 * that is sealed, uploaded, created (intent stored first), polled and ingested. Each step is a compare-and-swap on the row, taken up by any
 * router. Where the provider has no batch API (way `calls`) the row is `submitted` as soon as it is sealed, then each line becomes a direct
 * call (`batched` to `sending`) in places that direct jobs leave (`GroupCalls`), and the row is `done` with the last. A rescue is a call beside a
 * line that is out: the first answer serves, the other is waste.
 *
 * Whatever stores an intent reserves its maximum in every budget that holds it, in the same transaction; whatever stores its outcome settles it.
 */
export class Stages {
  readonly render: Renderer;
  readonly numbers: NumberSource;
  readonly slots: Slots;
  readonly keeper: SessionKeeper;
  readonly relay: RelayStage;
  readonly finish: FinishStage;
  readonly giveBack: GiveBack;
  readonly caller: Caller;
  readonly dispatch: DispatchStage;
  readonly intake: IntakeStage;
  readonly batch: BatchStage;
  readonly groupCalls: GroupCalls;
  readonly outlook: BatchOutlook;
  readonly healthWatch: HealthWatch;
  readonly #parts: StagesParts;
  readonly #planRoutes: PlanRoutes;
  readonly #pools: PoolReadings;
  readonly #batchAccounts: ReadonlyMap<string, BatchAccount>;
  readonly #groupAccounts: ReadonlyMap<string, LineAccount>;
  readonly #lines: LinePlanner;
  readonly #callTimes: CallTimes;
  readonly #health: RouteHealth;
  readonly #chooser: RouteChooser;
  readonly #gate: CallGate;
  readonly limits: RateLimits;
  #givenUp = false;

  constructor(parts: StagesParts) {
    const { ports, rules, settings, endSession } = parts;
    this.#parts = parts;
    this.#planRoutes = createRoutePlanner(rules.catalog, ports.tokenEstimates?.atLeast);
    this.#groupAccounts = groupAccounts(parts);
    this.render = createRenderer(rules.renderSettings);
    this.numbers = new NumberSource(() => ports.ledger.takeNumbers());
    this.slots = this.#wireSlots();
    this.#health = this.#wireHealth();
    this.#batchAccounts = batchAccounts(parts, this.#health);
    this.limits = this.#wireLimits();
    this.#gate = new CallGate(this.slots, this.#health, this.limits.any ? this.limits : null);
    this.#chooser = new RouteChooser({
      routing: rules.routing,
      conditions: this.#conditions(),
      trialMs: this.#trialMs,
      ...this.#countPrompt(),
      likelyBatch: (route, mode, leftMs) => this.#lines.likely(route, mode, leftMs),
    });
    this.keeper = this.#wireKeeper();
    this.relay = this.#wireRelay();
    this.finish = this.#wireFinish();
    this.healthWatch = this.#wireHealthWatch();
    this.giveBack = new GiveBack({
      ...this.#common(),
      slots: this.slots,
      numbers: this.numbers,
      groupSizeMax: settings.groups.sizeMax,
      endSession,
    });
    this.#callTimes = new CallTimes(settings.rescue.callPriorMs);
    this.caller = this.#wireCaller();
    this.#pools = new PoolReadings(ports.ledger, ports.clock);
    this.outlook = this.#wireOutlook();
    this.groupCalls = this.#wireGroupCalls();
    this.batch = this.#wireBatch();
    this.#lines = this.#wireLines();
    this.dispatch = this.#wireDispatch();
    this.intake = this.#wireIntake();
  }

  /** From now on nothing waits for a ledger that stays away: the shutdown's grace is over. */
  giveUpWaiting(): void {
    this.#givenUp = true;
  }

  #wireSlots(): Slots {
    const { ports, settings } = this.#parts;
    const places = [...this.#groupAccounts].map(([name, { settings: own }]) => [name, own.concurrency ?? 1] as const);
    return new Slots(
      new Map([...settings.accounts].map(([name, { concurrency }]) => [name, concurrency])),
      () => ports.clock.monotonicMs(),
      new Map(places),
    );
  }

  #wireLimits(): RateLimits {
    const { ports, settings } = this.#parts;
    const accounts = [...settings.accounts].flatMap(([name, { limits }]) =>
      limits === undefined ? [] : [[name, limits] as const],
    );
    const limits = new RateLimits({
      ...this.#common(),
      accounts: new Map(accounts),
      shared: ports.limitStore ?? null,
      slots: this.slots,
      ...this.#countPrompt(),
      granted: () => {
        this.dispatch.wake();
      },
    });
    if (limits.any)
      ports.limitEars?.listen((account, model, said) => {
        limits.learn(account, model, said);
      });
    return limits;
  }

  #wireHealth(): RouteHealth {
    const { ports, settings } = this.#parts;
    return new RouteHealth({
      settings: settings.health,
      clock: ports.clock,
      random: ports.random,
      changed: (watched) => {
        this.healthWatch.changed(watched);
      },
      wanted: () => {
        this.healthWatch.wanted();
      },
    });
  }

  #wireHealthWatch(): HealthWatch {
    const { ports, settings } = this.#parts;
    return new HealthWatch(this.#health, {
      ...this.#common(),
      store: ports.ledger,
      publish: this.#publish,
      mayStart: this.#mayStart,
      lookEveryMs: settings.health.lookEveryMs,
      trialMs: this.#trialMs,
    });
  }

  /** What is known of routes beyond the catalog. */
  #conditions(): RouteConditions {
    return {
      ...UNKNOWN_CONDITIONS,
      health: (account, model, nowMs) => this.#health.health(account, model, nowMs),
      statistics: (account, model, nowMs) => this.#health.statistics(account, model, nowMs),
      headroom: (route, tokens, nowMs, endpoint, tier) => this.limits.headroom(route, tokens, nowMs, endpoint, tier),
      spent: (account, nowMs) => this.#parts.ports.spending?.spent(account, nowMs) ?? null,
      committedLeft: (account, nowMs) => this.#parts.ports.spending?.committedLeft(account, nowMs) ?? null,
    };
  }

  #wireKeeper(): SessionKeeper {
    return new SessionKeeper({
      ...this.#common(),
      ...this.#parts.settings.beats,
      ...(this.#parts.ports.wallMs === undefined ? {} : { wallMs: this.#parts.ports.wallMs }),
      graceMs: this.#graceMs,
      lowMark: () => this.numbers.lowMark(),
      fenced: this.#fenced,
    });
  }

  #wireRelay(): RelayStage {
    const { ports, settings } = this.#parts;
    const { sweepAfterMs, undeliverableAfterMs } = settings.delivery;
    return new RelayStage({
      ...this.#common(),
      ...settings.relay,
      publisher: ports.publisher,
      sweepAfterMs,
      undeliverableAfterMs,
    });
  }

  #wireFinish(): FinishStage {
    return new FinishStage({
      ...this.#common(),
      ...this.#groups(),
      writesAtOnce: this.#parts.settings.groups.writesAtOnce,
      numbers: this.numbers,
      journal: this.#parts.journal,
      publish: this.#publish,
      woken: () => {
        this.dispatch.wake();
      },
      givenUp: () => this.#givenUp,
      graceMs: this.#graceMs,
      endSession: this.#parts.endSession,
    });
  }

  #wireCaller(): Caller {
    const { ports, settings } = this.#parts;
    const counted = [...settings.accounts].filter(
      ([, { limits }]) => limits !== undefined && isByKind(limits, "minute"),
    );
    const kinds = new Set(counted.map(([name]) => name));
    return new Caller({
      ...this.#common(),
      providers: ports.providers,
      callTimeoutMs: (account) => this.#accountOf(account).callTimeoutMs,
      connectTimeoutMs: (account) => this.#accountOf(account).connectTimeoutMs,
      sendWithinMs: settings.delivery.sendWithinMs,
      unsentMax: settings.delivery.unsentMax,
      slots: this.slots,
      mayStart: this.#mayStart,
      sending: (attemptNo) => this.#parts.journal.sending(attemptNo),
      judge: this.#judgeSettings(),
      health: this.#health,
      finished: (call, work) => {
        this.finish.add(kinds.has(work.route.account) ? { ...call, countsAs: kindOf(work) } : call);
      },
      answered: (route, ms) => {
        this.#callTimes.answered(route, ms, ports.clock.nowMs());
      },
      ...(ports.tokenEstimates === undefined ? {} : { counted: ports.tokenEstimates.learn }),
      rateLimited: (route) => {
        this.limits.refused(route);
      },
      notSent: (work) => {
        this.giveBack.add(work);
      },
    });
  }

  #judgeSettings(): JudgeSettings {
    const { ports, rules, settings } = this.#parts;
    const accounts = new Map(rules.catalog.accounts.map((account) => [account.name, account]));
    const accountOf = (name: string) => accounts.get(name);
    return {
      retry: settings.delivery,
      graceMs: this.#graceMs,
      resultBytesMax: settings.resultBytesMax,
      answeredBy: ({ route, batch }, version) => {
        const account = accountOf(route.account);
        return account === undefined
          ? { price: null, otherModel: false }
          : answeredBy(account, route, version, rules.catalog.prices, batch === undefined ? "direct" : "batch");
      },
      checkSchema: ports.checkSchema,
      billing: (account) => accountOf(account)?.facts.billing ?? null,
    };
  }

  #wireOutlook(): BatchOutlook {
    const { ports, settings } = this.#parts;
    const { ledger, clock, metrics } = ports;
    const pools = this.#pools;
    const tokensMax = [...this.#batchAccounts, ...this.#groupAccounts].map(
      ([name, account]) => [name, account.settings.enqueuedTokensMax] as const,
    );
    return new BatchOutlook({
      ...{ ledger, pools, clock, metrics },
      settings: settings.batching,
      tokensMax: new Map(tokensMax),
    });
  }

  #wireBatch(): BatchStage {
    return new BatchStage({
      ...this.#common(),
      pools: this.#pools,
      accounts: this.#batchAccounts,
      groups: this.#groupAccounts,
      groupCalls: this.groupCalls,
      settings: this.#parts.settings.batching,
      planRoutes: this.#planRoutes,
      numbers: this.numbers,
      health: this.#health,
      judge: this.#judgeSettings(),
      turnaround: () => this.outlook.turnaround,
      mayStart: this.#mayStart,
      publish: this.#publish,
      fenced: this.#fenced,
    });
  }

  #wireGroupCalls(): GroupCalls {
    return new GroupCalls({
      ...this.#common(),
      groups: this.#groupAccounts,
      settings: this.#parts.settings.batching,
      routes: new LineRoutes(this.#planRoutes),
      numbers: this.numbers,
      slots: this.slots,
      ...(this.limits.any ? { limits: this.limits } : {}),
      health: this.#health,
      backlog: () => this.dispatch.backlog,
      mayStart: this.#mayStart,
      start: this.#start,
    });
  }

  #wireLines(): LinePlanner {
    return new LinePlanner({
      accounts: new Map<string, LineAccount>([...this.#batchAccounts, ...this.#groupAccounts]),
      turnaround: () => this.outlook.turnaround,
      headroomTokens: (account) => this.outlook.headroomTokens(account),
      conditions: this.#conditions(),
      ...this.#countPrompt(),
    });
  }

  #wireDispatch(): DispatchStage {
    const { delivery, rescue } = this.#parts.settings;
    return new DispatchStage({
      ...this.#common(),
      rescue,
      callTimes: this.#callTimes,
      claimSizeMax: delivery.claimSizeMax,
      idlePollMs: delivery.idlePollMs,
      planRoutes: this.#planRoutes,
      chooser: this.#chooser,
      gate: this.#gate,
      lines: this.#lines,
      numbers: this.numbers,
      slots: this.slots,
      retry: delivery,
      doubt: this.#inDoubt,
      mayStart: this.#mayStart,
      start: this.#start,
      publish: this.#publish,
      fenced: this.#fenced,
    });
  }

  #wireIntake(): IntakeStage {
    const { rules, inbox, settings } = this.#parts;
    const { queuedMax, queuedBytesMax, slotWaitMs } = settings.groups;
    return new IntakeStage({
      ...this.#common(),
      ...this.#groups(),
      renderSettings: rules.renderSettings,
      planner: new IntakePlanner(rules.admission, this.#planRoutes, this.#chooser, this.#lines),
      numbers: this.numbers,
      gate: this.#gate,
      inbox,
      queuedGroupsMax: queuedMax,
      queuedBytesMax,
      slotWaitMs,
      doubt: this.#inDoubt,
      mayStart: this.#mayStart,
      backlog: {
        here: () => this.dispatch.backlog,
        began: () => {
          this.dispatch.backlogBegan();
        },
      },
      start: this.#start,
      publish: this.#publish,
      fenced: this.#fenced,
    });
  }

  #common() {
    const { session, ports, listener } = this.#parts;
    const { ledger, clock, random, log, metrics, mendable, reach } = ports;
    const heard = listener === undefined ? {} : { listener };
    const told = reach === undefined ? {} : { reach };
    return { ledger, session, clock, random, log, metrics, mendable, render: this.render, ...heard, ...told };
  }

  #countPrompt() {
    const { tokenEstimates } = this.#parts.ports;
    return tokenEstimates === undefined ? {} : { countPrompt: tokenEstimates.promptTokens };
  }

  #groups() {
    const { sizeMax, waitMs } = this.#parts.settings.groups;
    return { groupSizeMax: sizeMax, groupWaitMs: waitMs };
  }

  #accountOf(name: string) {
    const account = this.#parts.settings.accounts.get(name);
    if (account === undefined) throw new Error(`InvariantError: account ${name} is not in the config`);
    return account;
  }

  readonly #inDoubt = (account: string): InDoubtSettings => inDoubtOf(this.#parts.settings.accounts, account);

  readonly #graceMs = (account: string): number => this.#inDoubt(account).graceMs;

  /** A call, and the opening of its connection. */
  readonly #trialMs = (account: string): number => {
    const { callTimeoutMs, connectTimeoutMs } = this.#accountOf(account);
    return callTimeoutMs + connectTimeoutMs;
  };

  readonly #mayStart = (): boolean => this.keeper.mayStart();

  readonly #start = (work: Work): void => {
    this.caller.start(work);
  };

  readonly #publish = (groups: readonly OutboxGroup[]): void => {
    this.relay.add(groups);
  };

  readonly #fenced = (): void => {
    this.#parts.endSession("fenced");
  };
}

/** What limits by endpoint and tier count a call as. */
function kindOf({ format, policy }: Work): CallKind {
  return { endpoint: familyOf(format), tier: policy.tier ?? "standard" };
}

function batchAccounts(
  { ports, settings }: SessionParts,
  health: Pick<RouteHealth, "stepEnded">,
): ReadonlyMap<string, BatchAccount> {
  const found = [...settings.accounts].flatMap(([name, { batch }]) => {
    const provider = ports.batchProviders.get(name);
    if (batch === null || provider === undefined) return [];
    return [[name, { provider: watchedProvider(provider, { health, clock: ports.clock }), settings: batch }] as const];
  });
  return new Map(found);
}

/** Accounts with a section `batch` whose kind has no batch API. */
function groupAccounts({ ports, rules, settings }: SessionParts): ReadonlyMap<string, LineAccount> {
  const found = rules.catalog.accounts.flatMap(({ name, facts }) => {
    const batch = settings.accounts.get(name)?.batch ?? null;
    if (batch === null || facts.batch !== undefined || ports.batchProviders.has(name)) return [];
    return [[name, { provider: groupLines(facts.formats), settings: batch }] as const];
  });
  return new Map(found);
}
