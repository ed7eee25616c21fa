import type { AttemptOutcome } from "../../domain/failure.js";
import type { OutcomeFacts } from "../../domain/health/blame.js";
import type { LedgerKey } from "../../domain/ids.js";
import { attemptId } from "../../domain/job/ids.js";
import { reachSoon, type ReachPoint } from "../../ports/crash-points.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Provider, ProviderAnswer, ProviderFailure, ProviderNotSent } from "../../ports/provider.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { TokenEstimates } from "../../ports/token-estimates.js";
import { judgeCall, logLevelOf, unjudgedCall, type JudgeSettings } from "./call-judge.js";
import type { RouteHealth } from "./route-health.js";
import { SendPatience, type Patience, type PatienceSettings } from "./send-patience.js";
import type { Slots } from "./slots.js";
import type { Work } from "./work.js";

export interface CallerParts extends PatienceSettings {
  readonly providers: ReadonlyMap<string, Provider>;
  readonly callTimeoutMs: (account: string) => number;
  readonly judge: JudgeSettings;
  readonly slots: Pick<Slots, "release">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Whether this session may still begin something; asked again right before the first byte of each call. */
  readonly mayStart: () => boolean;
  /** Notes that the first byte of an attempt leaves next. @returns false: it must not. */
  readonly sending: (attemptNo: number) => boolean;
  readonly finished: (call: FinishedCall, work: Work) => void;
  /** What a call came to, for what is known of its provider's health. */
  readonly health: Pick<RouteHealth, "ended" | "notSent">;
  /** How long a call was out that was answered. */
  readonly answered: (route: Work["route"], ms: number) => void;
  /** What the provider counted for a request's body; left out where nobody learns from it. */
  readonly counted?: TokenEstimates["learn"];
  /** A call that the provider refused for a rate limit. */
  readonly rateLimited?: (route: Work["route"]) => void;
  /** Intents whose bytes did not leave in time, or at shutdown: nothing can have been billed. Their places are still taken. */
  readonly notSent: (work: Work) => void;
  readonly reach?: ReachPoint;
}

/** Longer names of models are cut in the log: they come from outside. */
const MODEL_NAME_SHOWN = 100;

/** Makes the calls whose intents are stored. A slot is free again as soon as the answer is there; finish goes on without it. */
export class Caller {
  readonly #parts: CallerParts;
  readonly #abort = new AbortController();
  readonly #patience: SendPatience;
  /** Calls in the air whose own time is longer than that of the jobs they began for; by execution. */
  readonly #outlasting = new Map<number, Work>();
  #inAir = 0;

  constructor(parts: CallerParts) {
    this.#parts = parts;
    this.#patience = new SendPatience(parts);
  }

  get inAir(): number {
    return this.#inAir;
  }

  /** Ends what is still in the air: those calls are in doubt. For the end of a shutdown's grace. */
  cut(): void {
    this.#abort.abort();
  }

  /** Executions in the air whose jobs, as far as this router knows them, have no time left. */
  overdue(nowMs: number): readonly LedgerKey[] {
    return [...this.#outlasting.values()]
      .filter(({ latestDeadlineMs }) => latestDeadlineMs <= nowMs)
      .map(({ execution }) => execution);
  }

  /** They are not named again. */
  expired(executions: readonly LedgerKey[]): void {
    for (const { no } of executions) this.#outlasting.delete(no);
  }

  /** A deadline ends jobs, not calls: cut off there, a call would be in doubt for those that joined with more time. */
  start(work: Work): void {
    const { providers, clock, mayStart } = this.#parts;
    const provider = providers.get(work.route.account);
    const timeoutMs = this.#parts.callTimeoutMs(work.route.account);
    const leftMs = work.latestDeadlineMs - clock.nowMs();
    // A process that slept between the commit and here may have been declared dead meanwhile: then the bytes do not leave.
    if (provider === undefined || leftMs <= 0 || !mayStart()) {
      this.#parts.health.notSent(work.intent);
      this.#parts.notSent(work);
      return;
    }
    this.#inAir += 1;
    if (leftMs < timeoutMs) this.#outlasting.set(work.execution.no, work);
    const startedMs = clock.monotonicMs();
    const patience = this.#patience.of(work.execution.no, work.route.account);
    this.#parts.reach?.("call.before_start");
    provider
      .call(
        {
          attemptId: attemptId(work.execution.day, work.intent.no),
          format: work.format,
          model: work.route.model,
          bodyText: work.bodyText,
          maxOutputTokensDefault: work.route.maxOutputTokens,
          timeoutMs,
          sendWithinMs: patience.withinMs,
          maySend: () => this.#maySend(work),
        },
        this.#abort.signal,
      )
      .catch((error: unknown): ProviderFailure => brokenAdapter(error))
      .then((reply) => {
        this.#inAir -= 1;
        this.#outlasting.delete(work.execution.no);
        const outcome = reply.kind === "not_sent" ? this.#notSent(work, reply, patience) : reply;
        if (outcome !== null) this.#ended(work, outcome, clock.monotonicMs() - startedMs);
      })
      .catch((error: unknown) => {
        this.#parts.log.error("dispatch.call_lost", { attempt: work.intent.no, error });
      });
  }

  #maySend({ intent }: Work): boolean {
    const { mayStart, sending, reach } = this.#parts;
    if (!mayStart() || !sending(intent.no)) return false;
    reach?.("call.first_byte");
    reachSoon(reach, "call.in_air");
    return true;
  }

  /** @returns what the call came to when it is not given back once more, else null. */
  #notSent(work: Work, reply: ProviderNotSent, patience: Patience): ProviderFailure | null {
    const { metrics, log } = this.#parts;
    const { account } = work.route;
    if (reply.because === "no_connection") {
      if (patience.last) return noConnection(reply, patience);
      this.#patience.missed(work.execution.no);
    }
    metrics.count("sluice_attempts_total", { account, outcome: "not_sent" });
    log.debug("attempt.not_sent", { attempt: attemptId(work.execution.day, work.intent.no), account, ...reply });
    this.#parts.health.notSent(work.intent);
    this.#parts.notSent(work);
    return null;
  }

  #ended(work: Work, outcome: ProviderAnswer | ProviderFailure, ms: number): void {
    this.#parts.reach?.("call.answered");
    this.#parts.slots.release(work.route.account, outcome.kind === "answered", work.batch !== undefined);
    this.#patience.done(work.execution.no);
    if (outcome.kind === "answered") this.#parts.answered(work.route, ms);
    else if (outcome.outcome === "rate_limited") this.#parts.rateLimited?.(work.route);
    const call = this.#judge(work, outcome);
    this.#parts.health.ended(work.intent, outcomeFacts(call.outcome, outcome), ms, call.usage);
    if (call.otherModel === true) this.#flagOtherModel(work, call.modelVersion ?? "");
    if (call.usage.inputTokens !== null && call.otherModel !== true)
      this.#parts.counted?.(work.bodyText, work.route, call.usage.inputTokens);
    this.#report(work, call, outcome.kind === "failed" ? outcome.message : null, ms);
    this.#parts.finished(call, work);
  }

  /** The charge is right either way, by the model that answered; but somebody should know. */
  #flagOtherModel(work: Work, modelVersion: string): void {
    const { account, model } = work.route;
    const { metrics, log } = this.#parts;
    metrics.count("sluice_other_model_total", { account });
    const answered = modelVersion.slice(0, MODEL_NAME_SHOWN);
    log.warn("attempt.other_model", {
      attempt: attemptId(work.execution.day, work.intent.no),
      account,
      model,
      answered,
    });
  }

  /** A call that can't be judged may have been billed all the same, and its attempt must end. */
  #judge(work: Work, outcome: ProviderAnswer | ProviderFailure): FinishedCall {
    const { judge, clock, random, log } = this.#parts;
    try {
      return judgeCall(judge, work, outcome, clock.nowMs(), random.next());
    } catch (error) {
      log.error("dispatch.judge_failed", { attempt: work.intent.no, error });
      return unjudgedCall(judge, work, clock.nowMs());
    }
  }

  #report(work: Work, call: FinishedCall, message: string | null, ms: number): void {
    const { metrics, log } = this.#parts;
    metrics.count("sluice_attempts_total", { account: work.route.account, outcome: call.outcome });
    metrics.observe("sluice_call_seconds", { account: work.route.account }, ms / 1000);
    if (message === null) return;
    log[logLevelOf(call.outcome)]("attempt.failed", {
      attempt: attemptId(work.execution.day, work.intent.no),
      account: work.route.account,
      model: work.route.model,
      outcome: call.outcome,
      then: call.verdict.kind,
      message,
    });
  }
}

/** The outcome by the judge, which looks into answers; how it came over the wire by the call. */
function outcomeFacts(outcome: AttemptOutcome, reply: ProviderAnswer | ProviderFailure): OutcomeFacts {
  if (reply.kind === "answered") return { outcome, sent: "answered", httpStatus: 200 };
  return { outcome, sent: reply.sent, httpStatus: reply.provider.status };
}

/** Opening a connection had all the time there is for it. Nothing was sent, so the next route has its turn at once. */
function noConnection(reply: ProviderNotSent, patience: Patience): ProviderFailure {
  return {
    kind: "failed",
    outcome: "connection_failed",
    sent: "no",
    message: `${reply.message}; it had ${String(patience.withinMs)} ms`,
    retryAfterMs: null,
    provider: { status: null, code: null, requestId: null },
  };
}

/** An adapter never throws for provider trouble; if it does, bytes may have left. */
function brokenAdapter(error: unknown): ProviderFailure {
  return {
    kind: "failed",
    outcome: "unclassified",
    sent: "perhaps",
    message: `the provider adapter broke: ${error instanceof Error ? error.message : String(error)}`,
    retryAfterMs: null,
    provider: { status: null, code: null, requestId: null },
  };
}
