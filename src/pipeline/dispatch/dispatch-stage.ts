import { accountKey } from "../../domain/budget/budget.js";
import type { DoubtPolicy } from "../../domain/execution/doubt-policy.js";
import { doubtSummary } from "../../domain/execution/doubt-summary.js";
import { triesOf, type AttemptIntent, type WaitingExecution } from "../../domain/execution/execution.js";
import type { ErrorCode } from "../../domain/failure.js";
import type { SessionNo } from "../../domain/ids.js";
import { attemptId } from "../../domain/job/ids.js";
import { rescueDecision, type ChosenRoute, type RescueLimits } from "../../domain/route/rescue.js";
import { decideAfterDoubt, type RetryLimits } from "../../domain/route/next-attempt.js";
import { routeMaxCostNanoUsd, type PlanRoutes } from "../../domain/route/plan-routes.js";
import { readRequestFacts, type RequestFacts } from "../../domain/route/request-facts.js";
import type { Route, RoutePlan } from "../../domain/route/route.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { ClaimOutcome, ClaimRequest, ClaimVerdict, Ledger, OutboxGroup } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { LinePlan, LinePlanner } from "../batch/line-planner.js";
import { reportEnds } from "../finish/finish-stage.js";
import type { CallTimes } from "./call-times.js";
import type { CallGate } from "./call-gate.js";
import { explainedLine } from "./explained-line.js";
import type { LimitPass } from "./limit-scope.js";
import { Nap } from "../nap.js";
import type { NumberSource } from "./number-source.js";
import { RescueLooks } from "./rescue-looks.js";
import { routeAt, type RouteChoice, type RouteChooser } from "./route-chooser.js";
import type { Slots } from "./slots.js";
import type { Work } from "./work.js";

export interface DispatchParts {
  readonly ledger: Pick<Ledger, "claim" | "rescue" | "setAside">;
  readonly session: SessionNo;
  readonly render: Renderer;
  readonly planRoutes: PlanRoutes;
  readonly chooser: Pick<RouteChooser, "choose">;
  readonly gate: CallGate;
  readonly lines: Pick<LinePlanner, "plan">;
  readonly numbers: NumberSource;
  readonly slots: Slots;
  readonly rescue: RescueLimits;
  readonly callTimes: Pick<CallTimes, "at">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly claimSizeMax: number;
  readonly idlePollMs: number;
  readonly retry: RetryLimits;
  readonly doubt: (account: string) => DoubtPolicy;
  readonly mendable: (error: unknown) => boolean;
  readonly mayStart: () => boolean;
  readonly start: (work: Work) => void;
  readonly publish: (groups: readonly OutboxGroup[]) => void;
  readonly fenced: () => void;
  readonly reach?: ReachPoint;
}

const EXPIRE_EVERY_MS = 1000;
/** A doubt about a rescue is not settled before its line has ended, which is looked at so often. */
const LINE_WAIT_MS = 2000;
/** An execution whose claim the ledger refuses is looked at again after this. */
const SET_ASIDE_MS = 60_000;

const NO_LIMITS: ReadonlyMap<string, number> = new Map();

/** What a claim is for: rows that are due, rows with a passed deadline, lines of batches. */
type ClaimFor = ClaimRequest["pick"] | "rescue";

/** Takes waiting executions off their rows when they are due and a slot is free; settles doubts and deadlines on the way. */
export class DispatchStage {
  readonly #parts: DispatchParts;
  readonly #stop = new AbortController();
  readonly #plans = new WeakMap<WaitingExecution, Planned>();
  /** What intents took of rate limits. */
  readonly #passes = new WeakMap<AttemptIntent, LimitPass>();
  #backlog = true; // until the first look says otherwise
  #nextExpiryMs = 0;
  readonly #nap: Nap;
  /** Most rows of a claim: fewer while one among them is refused. */
  readonly #limits: Record<ClaimFor, number>;
  readonly #rescues: RescueLooks;
  #last: { readonly pick: ClaimFor; readonly limit: number; readonly limits: ReadonlyMap<string, number> } = {
    ...{ pick: "run", limit: 1, limits: new Map() },
  };

  constructor(parts: DispatchParts) {
    this.#parts = parts;
    this.#nap = new Nap(parts.clock);
    const { claimSizeMax, rescue, callTimes } = parts;
    this.#limits = { run: claimSizeMax, expire: claimSizeMax, rescue: claimSizeMax };
    this.#rescues = new RescueLooks(rescue, callTimes);
  }

  /** Whether due rows wait for a slot: then new jobs go behind them. */
  get backlog(): boolean {
    return this.#backlog;
  }

  /** Rows were stored that found no place; whether they still wait is known after a look, which is now. */
  backlogBegan(): void {
    if (this.#backlog) return;
    this.#backlog = true;
    this.wake();
  }

  stop(): void {
    this.#stop.abort();
    this.wake();
  }

  /** There may be something due: the next look is now. */
  wake(): void {
    this.#nap.wake();
  }

  async run(): Promise<void> {
    const { clock, log, idlePollMs } = this.#parts;
    while (!this.#stop.signal.aborted) {
      try {
        const more = await this.#step();
        if (!more) await this.#nap.sleep(idlePollMs);
      } catch (error) {
        if (!this.#parts.mendable(error) && (await this.#narrow(error))) continue;
        log.warn("dispatch.claim_failed", { message: error instanceof Error ? error.message : String(error) });
        await clock.sleep(idlePollMs * 2, this.#stop.signal);
      }
    }
  }

  /**
   * One row whose claim the ledger refuses must not hold all others up: claims become smaller until it is alone, then it is put off.
   * @returns whether the next claim is worth it at once.
   */
  async #narrow(error: unknown): Promise<boolean> {
    const { ledger, clock, log, metrics } = this.#parts;
    const { pick, limits } = this.#last;
    const limit = this.#last.limit + sumOf(limits);
    if (pick === "expire") this.#nextExpiryMs = 0;
    if (limit > 1) {
      log.warn("dispatch.claim_refused", { pick, limit, error });
      this.#limits[pick] = Math.floor(limit / 2);
      return true;
    }
    if (pick === "rescue") {
      log.error("dispatch.rescue_refused", { error });
      this.#rescues.looked(true); // the next look goes on behind it
      return false;
    }
    const nowMs = clock.nowMs();
    const aside = await ledger.setAside({ pick, nowMs, limits }, nowMs + SET_ASIDE_MS).catch(() => null);
    if (aside === null) return false;
    log.error("dispatch.set_aside", { execution: attemptId(aside.day, aside.no), error });
    metrics.count("sluice_executions_set_aside_total", {});
    return false;
  }

  /** @returns whether another look is worth it at once. */
  async #step(): Promise<boolean> {
    const { clock, slots, mayStart } = this.#parts;
    if (!mayStart()) return false;
    if (clock.monotonicMs() >= this.#nextExpiryMs) {
      this.#nextExpiryMs = clock.monotonicMs() + EXPIRE_EVERY_MS;
      await this.#claim("expire", this.#limits.expire);
    }
    if (slots.any() && this.#rescues.isDue(clock.monotonicMs())) {
      const limit = Math.min(this.#limits.rescue, slots.free);
      const { taken } = await this.#claim("rescue", limit);
      this.#rescues.looked(taken === limit);
    }
    if (!slots.any()) {
      const over = new AbortController();
      await Promise.race([slots.released(over.signal), clock.sleep(this.#parts.idlePollMs, this.#stop.signal)]);
      over.abort("over"); // with a reason it makes no exception
      return slots.any();
    }
    // Rows that wait for a limit are taken when there are grants for them, and only so many; the others share what places are left.
    const limits = atMost(this.#parts.gate.room(), Math.min(this.#limits.run, slots.free));
    const limit = Math.min(this.#limits.run, slots.free) - sumOf(limits);
    const outcome = await this.#claim("run", limit, limits);
    this.#backlog = outcome.more ?? outcome.taken === limit;
    const isMore = this.#backlog || (outcome.woken ?? 0) > 0;
    return isMore || [...(outcome.limited?.values() ?? [])].some(({ more }) => more);
  }

  async #claim(pick: ClaimFor, limit: number, limits: ReadonlyMap<string, number> = NO_LIMITS): Promise<ClaimOutcome> {
    const { session, numbers, gate, clock, metrics, claimSizeMax } = this.#parts;
    this.#last = { pick, limit, limits };
    await numbers.reserve(limit + sumOf(limits));
    const nowMs = clock.nowMs();
    // A transaction that is tried again asks again: the same execution gets the same verdict, and one place.
    const verdicts = new Map<number, ClaimVerdict>();
    const decide = (waiting: WaitingExecution): ClaimVerdict => {
      const known = verdicts.get(waiting.key.no);
      if (known !== undefined) return known;
      const verdict = this.#verdict(pick, waiting, nowMs);
      verdicts.set(waiting.key.no, verdict);
      return verdict;
    };
    const startedMs = clock.monotonicMs();
    let started = new Set<number>();
    try {
      const wish = limits.size === 0 ? { limit } : { limit, limits };
      const outcome = await this.#ask({ session, nowMs, ...wish }, pick, decide);
      if (limits.size > 0) gate.taken(limits, outcome.limited);
      this.#limits[pick] = Math.min(claimSizeMax, this.#limits[pick] * 2);
      if (outcome.fenced) this.#parts.fenced();
      started = new Set(outcome.started.map(({ intent }) => intent.no));
      if (started.size > 0) {
        gate.stored(clock.monotonicMs() - startedMs);
        this.#parts.reach?.("claim.after");
      }
      for (const { execution, intent } of outcome.started)
        this.#parts.start(this.#workOf(execution, intent, verdicts.get(execution.key.no)));
      if (pick === "rescue") this.#countRescues(outcome);
      if (outcome.taken > 0) {
        metrics.observe("sluice_group_size", { stage: "dispatch" }, outcome.taken);
        metrics.observe("sluice_group_seconds", { stage: "dispatch" }, (clock.monotonicMs() - startedMs) / 1000);
        reportEnds(metrics, outcome);
      }
      this.#parts.publish(outcome.outbox);
      return outcome;
    } finally {
      for (const verdict of verdicts.values()) {
        if (verdict.kind === "wait" && verdict.limit !== undefined) gate.queued(verdict.limit, 1);
        if (verdict.kind !== "start" || started.has(verdict.intent.no)) continue;
        gate.giveBack(verdict.intent, this.#passes.get(verdict.intent));
        numbers.close(verdict.intent.no);
      }
    }
  }

  #ask(
    request: Omit<ClaimRequest, "pick">,
    pick: ClaimFor,
    decide: (waiting: WaitingExecution) => ClaimVerdict,
  ): Promise<ClaimOutcome> {
    const { ledger, render } = this.#parts;
    const { session, limit, nowMs } = request;
    return pick === "rescue"
      ? ledger.rescue(this.#rescues.look(session, limit, nowMs), decide, render)
      : ledger.claim({ ...request, pick }, decide, render);
  }

  #countRescues({ started }: ClaimOutcome): void {
    for (const { intent } of started) this.#parts.metrics.count("sluice_rescues_total", { account: intent.account });
  }

  #verdict(pick: ClaimFor, waiting: WaitingExecution, nowMs: number): ClaimVerdict {
    if (pick === "expire") return putBack(waiting);
    if (pick === "rescue") return this.#rescue(waiting, nowMs);
    if (waiting.line === undefined) return this.#decide(waiting, nowMs);
    // Its rescue has ended, or is in doubt: while the line may answer, nothing else is begun.
    if (waiting.doubtful === null) return { kind: "line" };
    return { kind: "wait", runAtMs: nowMs + LINE_WAIT_MS, waitsFor: "doubt" };
  }

  /** A call beside the line; without a free place it is looked at again with the next round. */
  #rescue(waiting: WaitingExecution, nowMs: number): ClaimVerdict {
    const { line } = waiting;
    const { plan, facts } = this.#plan(waiting);
    const choose = (routes: readonly Route[], turn: number) => this.#chooseCall(waiting, facts, nowMs, routes, turn);
    const call = this.#rescues.choose(waiting, { plan, facts, nowMs, choose });
    if (line === undefined || call === null) return { kind: "line" };
    const { route } = call;
    const admission = this.#parts.gate.take({ route, facts, tier: waiting.policy.tier, nowMs });
    if (admission.kind !== "go") return { kind: "line" };
    const fresh = this.#intent(waiting, call.route, call.index, facts, nowMs);
    const intent: AttemptIntent = { ...fresh, number: line.number + 1, supersedes: line.attemptNo };
    if (admission.pass !== undefined) this.#passes.set(intent, admission.pass);
    return { kind: "start", intent, decision: rescueDecision(waiting, call, nowMs) };
  }

  /** A call among these routes of its plan. */
  #chooseCall(
    waiting: WaitingExecution,
    facts: RequestFacts,
    nowMs: number,
    routes: readonly Route[],
    turn: number,
  ): ChosenRoute | null {
    const accounts = [...new Set(routes.map(({ account }) => account))];
    const chosen = this.#parts.chooser.choose({
      plan: { first: routes[0] ?? null, routes, rejected: [], accounts, ruledOut: 0, failure: null },
      ...{ facts, nowMs, policy: waiting.policy, mode: "direct", tried: waiting.history },
      deadlineMs: waiting.nearestDeadlineMs,
      latestDeadlineMs: waiting.latestDeadlineMs,
      routeIndex: turn,
      explain: waiting.explain === true,
    });
    return chosen.kind === "route" ? chosen : null;
  }

  #decide(waiting: WaitingExecution, nowMs: number): ClaimVerdict {
    const { plan } = this.#plan(waiting);
    if (waiting.doubtful === null || plan.first === null)
      return this.#decideNext(waiting, waiting.nextRouteIndex, nowMs);
    const routeIndex = this.#settle(waiting.doubtful, waiting, plan, nowMs);
    if (routeIndex === null) return notPaidAgain(waiting);
    const verdict = this.#decideNext(waiting, routeIndex, nowMs);
    // The doubt is over, whatever keeps the next call back.
    return verdict.kind === "wait" ? { ...verdict, afterDoubt: routeIndex } : verdict;
  }

  #decideNext(waiting: WaitingExecution, routeIndex: number, nowMs: number): ClaimVerdict {
    const { plan, facts } = this.#plan(waiting);
    const chosen = this.#parts.chooser.choose({
      ...{ plan, facts, nowMs, policy: waiting.policy, mode: waiting.mode, tried: waiting.history },
      deadlineMs: waiting.nearestDeadlineMs,
      latestDeadlineMs: waiting.latestDeadlineMs,
      routeIndex,
      explain: waiting.explain === true,
    });
    if (chosen.kind === "none") return { kind: "fail", failure: chosen.failure };
    // A batch takes hours, and what keeps a call back now may be over by then.
    if (chosen.kind === "wait" && waiting.mode !== "batch") return waitOf(chosen);
    const line = explainedLine(this.#line(waiting, chosen.index, nowMs), chosen, waiting.nearestDeadlineMs - nowMs);
    if (line.kind === "pool") return line;
    if (line.kind === "refused") return fail(line.code, line.message);
    if (chosen.kind === "wait") return waitOf(chosen);
    const { route, index } = chosen;
    const admission = this.#parts.gate.take({ route, facts, tier: waiting.policy.tier, nowMs });
    if (admission.kind === "never") return fail("NO_ROUTE", admission.because);
    if (admission.kind === "wait") return admission;
    const intent = this.#intent(waiting, route, index, facts, nowMs);
    if (admission.pass !== undefined) this.#passes.set(intent, admission.pass);
    const { decision } = line;
    return decision === undefined ? { kind: "start", intent } : { kind: "start", intent, decision };
  }

  /**
   * What comes up again may go to a batch as if it were new, while there is time for one: for all of its jobs, since a call would serve
   * them all. Where batches are insisted on, the last of them counts: nothing but a batch serves any. After a doubt a call follows: it
   * has waited.
   */
  #line(waiting: WaitingExecution, routeIndex: number, nowMs: number): LinePlan {
    if (waiting.doubtful !== null) return { kind: "direct" };
    const { mode } = waiting;
    const deadlineMs = mode === "batch" ? waiting.latestDeadlineMs : waiting.nearestDeadlineMs;
    const { plan, facts } = this.#plan(waiting);
    return this.#parts.lines.plan({ mode, nowMs, deadlineMs, facts, plan, routeIndex, again: true });
  }

  #intent(
    waiting: WaitingExecution,
    route: Route,
    routeIndex: number,
    facts: RequestFacts,
    nowMs: number,
  ): AttemptIntent {
    return {
      no: this.#parts.numbers.open(),
      number: triesOf(waiting.history) + (waiting.doubtful === null ? 1 : 2),
      account: route.account,
      provider: route.kind,
      model: route.model,
      routeIndex,
      maxNanoUsd: routeMaxCostNanoUsd(route, facts),
      startedAtMs: nowMs,
    };
  }

  /**
   * The place of the route that follows; null: the policy does not pay again. A wait of the policy's backoff is not taken: the grace was
   * the wait.
   */
  #settle(doubtful: AttemptIntent, waiting: WaitingExecution, { routes }: RoutePlan, nowMs: number): number | null {
    const account = this.#parts.doubt(doubtful.account);
    const decision = decideAfterDoubt(
      {
        attemptNumber: doubtful.number,
        routes,
        routeIndex: Math.min(doubtful.routeIndex, routes.length - 1),
        tried: [...waiting.history, { account: doubtful.account, model: doubtful.model, outcome: "in_doubt" }],
        nowMs,
        latestDeadlineMs: waiting.latestDeadlineMs,
        limits: this.#parts.retry,
        policy: waiting.policy.onDoubt === "fail" ? "fail" : account.policy,
        maxNanoUsd: doubtful.maxNanoUsd,
        retryMaxNanoUsd: account.retryMaxNanoUsd,
      },
      this.#parts.random.next(),
    );
    return decision.kind === "again" ? decision.routeIndex : null;
  }

  /** Once an execution: between the commit of an intent and its bytes there is no time to plan it again. */
  #plan(waiting: WaitingExecution): Planned {
    const known = this.#plans.get(waiting);
    if (known !== undefined) return known;
    const facts = readRequestFacts(
      waiting.format,
      waiting.bodyText,
      Buffer.byteLength(waiting.bodyText),
      waiting.maxCostNanoUsd,
    );
    const planned = { plan: this.#parts.planRoutes(waiting.policy, facts), facts };
    this.#plans.set(waiting, planned);
    return planned;
  }

  #workOf(execution: WaitingExecution, intent: AttemptIntent, verdict: ClaimVerdict | undefined): Work {
    const { plan } = this.#plan(execution);
    if (plan.first === null) throw new Error("InvariantError: a started execution lost its route");
    const { route } = routeAt(plan, plan.first, intent.routeIndex);
    return {
      execution: execution.key,
      intent,
      format: execution.format,
      policy: execution.policy,
      bodyText: execution.bodyText,
      route,
      get routes() {
        return plan.routes;
      },
      firstPrice: plan.first.price,
      history:
        execution.doubtful === null
          ? execution.history
          : [...execution.history, doubtSummary(execution.doubtful, intent.startedAtMs)],
      latestDeadlineMs: execution.latestDeadlineMs,
      ...(verdict?.kind === "start" && verdict.decision !== undefined ? { decision: verdict.decision } : {}),
    };
  }
}

interface Planned {
  readonly plan: RoutePlan;
  readonly facts: RequestFacts;
}

function sumOf(limits: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const most of limits.values()) sum += most;
  return sum;
}

/** So many in all, the first ones first. */
function atMost(room: ReadonlyMap<string, number>, most: number): ReadonlyMap<string, number> {
  if (sumOf(room) <= most) return room;
  const limits = new Map<string, number>();
  let left = most;
  for (const [limit, rows] of room) {
    if (left > 0) limits.set(limit, Math.min(rows, left));
    left -= rows;
  }
  return limits;
}

/** An execution that came up for a deadline of one of its jobs goes back for the others, as it was: when it is due, and why it waits. */
function putBack(waiting: WaitingExecution): ClaimVerdict {
  return { kind: "wait", runAtMs: waiting.dueAtMs, waitsFor: waiting.waitedFor };
}

/** What an account has spent holds it up as any budget does: money that is free there wakes it. */
function waitOf({ runAtMs, waitsFor, route }: Extract<RouteChoice, { readonly kind: "wait" }>): ClaimVerdict {
  const wait = { kind: "wait", runAtMs, waitsFor } as const;
  return waitsFor === "budget" ? { ...wait, level: accountKey(route.account) } : wait;
}

/** Of what the provider sent, more is known than that it may have been billed. */
function notPaidAgain({ doubtfulOutcome }: WaitingExecution): ClaimVerdict {
  const [code, what] =
    doubtfulOutcome === "bad_response"
      ? (["PROVIDER_BAD_RESPONSE", "the provider's response can't be read as an answer"] as const)
      : (["IN_DOUBT", "the call was cut off"] as const);
  return fail(code, `${what} and may have been billed; a replay is the consent to pay again`);
}

function fail(code: ErrorCode, message: string): ClaimVerdict {
  return { kind: "fail", failure: { code, message, provider: null, retryAtMs: null } };
}
