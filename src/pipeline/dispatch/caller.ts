import { attemptId } from "../../domain/job/ids.js";
import type { FinishedCall } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { Provider, ProviderFailure } from "../../ports/provider.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import { judgeCall, logLevelOf, type JudgeSettings } from "./call-judge.js";
import type { NumberSource } from "./number-source.js";
import type { Slots } from "./slots.js";
import type { Work } from "./work.js";

export interface CallerParts {
  readonly providers: ReadonlyMap<string, Provider>;
  readonly callTimeoutMs: (account: string) => number;
  readonly judge: JudgeSettings;
  readonly slots: Slots;
  readonly numbers: NumberSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly finished: (call: FinishedCall) => void;
  /** Intents whose bytes did not leave in time, or at shutdown: nothing can have been billed. */
  readonly notSent: (work: Work) => void;
}

/** Makes the calls whose intents are stored. A slot is free again as soon as the answer is there; finish goes on without it. */
export class Caller {
  readonly #parts: CallerParts;
  readonly #abort = new AbortController();
  #inAir = 0;

  constructor(parts: CallerParts) {
    this.#parts = parts;
  }

  get inAir(): number {
    return this.#inAir;
  }

  /** Ends what is still in the air: those calls are in doubt. For the end of a shutdown's grace. */
  cut(): void {
    this.#abort.abort();
  }

  start(work: Work): void {
    const { providers, clock, slots } = this.#parts;
    const provider = providers.get(work.route.account);
    const timeoutMs = Math.min(this.#parts.callTimeoutMs(work.route.account), work.latestDeadlineMs - clock.nowMs());
    if (provider === undefined || timeoutMs <= 0) {
      slots.release(work.route.account, false);
      this.#parts.notSent(work);
      return;
    }
    this.#inAir += 1;
    const startedMs = clock.monotonicMs();
    provider
      .call(
        {
          attemptId: attemptId(work.execution.day, work.intent.no),
          format: work.format,
          model: work.route.model,
          bodyText: work.bodyText,
          maxOutputTokensDefault: work.route.maxOutputTokens,
          timeoutMs,
        },
        this.#abort.signal,
      )
      .catch((error: unknown): ProviderFailure => brokenAdapter(error))
      .then((outcome) => {
        this.#inAir -= 1;
        slots.release(work.route.account, outcome.kind === "answered");
        const call = judgeCall(this.#parts.judge, work, outcome, clock.nowMs(), this.#parts.random.next());
        this.#report(work, call, outcome.kind === "failed" ? outcome.message : null, clock.monotonicMs() - startedMs);
        this.#parts.finished(call);
      })
      .catch((error: unknown) => {
        this.#parts.log.error("dispatch.judge_failed", { attempt: work.intent.no, error });
      });
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
