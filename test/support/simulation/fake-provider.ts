import { setMaxListeners } from "node:events";
import type { AttemptOutcome } from "../../../src/domain/failure.js";
import type {
  Provider,
  ProviderAnswer,
  ProviderCall,
  ProviderFailure,
  ProviderNotSent,
} from "../../../src/ports/provider.js";
import { AT_LENGTH, digestOf, INPUT_NANO_PER_TOKEN, OUTPUT_NANO_PER_TOKEN, POISON } from "./fixture.js";
import type { Life, World } from "./world.js";

export interface BillRow {
  readonly attemptId: string;
  readonly account: string;
  readonly nanoUsd: bigint;
}

/** What the providers wrote down: calls that began, calls of which the gateway could not know the end, and the bill. */
export class ProviderBooks {
  readonly bill: BillRow[] = [];
  readonly unclear = new Set<string>();
  /** @param calledMs when the caller began the call, by its own clock. */
  onCall: (attemptId: string, calledMs: number) => void = () => undefined;
}

export const RETRY_AFTER_MAX_MS = 3000;
/** Longer than any record that the broker takes. */
const LONG_ANSWER = 1200;

type Fate =
  | "answer"
  | "slow"
  | "slow_failure"
  | "rate_limited"
  | "overloaded"
  | "no_connection"
  | "no_socket"
  | "cut_before_bill"
  | "cut_after_bill"
  | "refused";

/** One account at a provider that bills answers and nothing else. What reached it is worked on even if the caller dies. */
export class FakeProvider implements Provider {
  readonly account: string;
  readonly #world: World;
  readonly #life: Life;
  readonly #books: ProviderBooks;
  readonly #trouble: () => number;

  constructor(account: string, world: World, life: Life, books: ProviderBooks, trouble: () => number) {
    this.account = account;
    this.#world = world;
    this.#life = life;
    this.#books = books;
    this.#trouble = trouble;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async call(call: ProviderCall, signal: AbortSignal): Promise<ProviderAnswer | ProviderFailure | ProviderNotSent> {
    const world = this.#world;
    const { random } = world;
    const fate = this.#fate();
    const calledMs = world.nowMs;
    const calledByItsClockMs = Math.floor(calledMs + this.#life.wallOffMs);
    await world.step(this.#life, "connect");
    // A router that was stopped here may find itself declared dead; a call to nowhere may take its time too.
    if (world.nowMs - calledMs > call.sendWithinMs || fate === "no_socket") return notSent("no_connection");
    if (signal.aborted || !call.maySend()) return notSent("stopped");
    if (fate === "no_connection") return failure("connection_failed", "no", null, null);
    this.#books.onCall(call.attemptId, calledByItsClockMs);
    const takesMs =
      fate === "slow" || fate === "slow_failure"
        ? random.between(1000, 12_000)
        : random.between(5, random.chance(0.4) ? 5000 : 150);
    const answer = this.#answerTo(call);
    const isRefused = fate === "refused" || call.bodyText.includes(POISON);
    const bills = !isRefused && (fate === "answer" || fate === "slow" || fate === "cut_after_bill");
    world.at(takesMs * 0.9, `provider ${this.account} ${fate}`, null, () => {
      if (bills) this.#books.bill.push({ attemptId: call.attemptId, account: this.account, nanoUsd: priceOf(answer) });
    });
    const leftMs = call.timeoutMs - (world.nowMs - calledMs);
    const cut = await this.#wait(Math.min(takesMs, leftMs), signal);
    if (cut || takesMs > leftMs || fate === "cut_before_bill" || fate === "cut_after_bill") {
      this.#books.unclear.add(call.attemptId);
      return failure(cut ? "cancelled" : takesMs > leftMs ? "timed_out" : "connection_failed", "perhaps", null, null);
    }
    if (fate === "rate_limited")
      return failure(
        "rate_limited",
        "answered",
        429,
        random.chance(0.5) ? random.between(100, RETRY_AFTER_MAX_MS) : null,
      );
    if (fate === "overloaded" || fate === "slow_failure") return failure("overloaded", "answered", 500, null);
    if (isRefused) return failure("refused", "answered", 400, null);
    return answer;
  }

  #fate(): Fate {
    const { random } = this.#world;
    if (!random.chance(this.#trouble())) return "answer";
    return random.pick([
      "slow",
      "slow",
      "slow",
      "slow_failure",
      "slow_failure",
      "slow_failure",
      "rate_limited",
      "overloaded",
      "no_connection",
      "no_socket",
      "no_socket",
      "no_socket",
      "cut_before_bill",
      "cut_after_bill",
      "refused",
    ]);
  }

  /** @returns whether the call was cut off by the gateway. */
  #wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(true);
    return new Promise((resolve) => {
      const cut = (): void => {
        resolve(true);
      };
      setMaxListeners(0, signal);
      signal.addEventListener("abort", cut, { once: true });
      this.#world.at(ms, "answer", this.#life, () => {
        signal.removeEventListener("abort", cut);
        resolve(false);
      });
    });
  }

  #answerTo(call: ProviderCall): ProviderAnswer {
    const body = JSON.parse(call.bodyText) as { readonly messages: readonly [{ readonly content: string }] }; // written by the scenario
    const prompt = body.messages[0].content;
    return {
      kind: "answered",
      bodyText: JSON.stringify({
        digest: digestOf(prompt),
        by: call.attemptId,
        ...(prompt.includes(AT_LENGTH) ? { text: "and so on ".repeat(LONG_ANSWER) } : {}),
      }),
      finishReason: "stop",
      modelVersion: null,
      usage: {
        inputTokens: 10 + prompt.length,
        cachedInputTokens: null,
        cacheWriteTokens: null,
        cacheWrite1hTokens: null,
        outputTokens: this.#world.random.between(1, 40),
        reasoningTokens: null,
      },
      usageSuspect: false,
      requestId: `request-${call.attemptId}`,
      empty: false,
    };
  }
}

/** The bill's own arithmetic, not the gateway's. */
function priceOf({ usage }: ProviderAnswer): bigint {
  return (
    BigInt(usage.inputTokens ?? 0) * INPUT_NANO_PER_TOKEN + BigInt(usage.outputTokens ?? 0) * OUTPUT_NANO_PER_TOKEN
  );
}

function notSent(because: ProviderNotSent["because"]): ProviderNotSent {
  return { kind: "not_sent", because, message: because };
}

function failure(
  outcome: Exclude<AttemptOutcome, "succeeded">,
  sent: ProviderFailure["sent"],
  status: number | null,
  retryAfterMs: number | null,
): ProviderFailure {
  return {
    kind: "failed",
    outcome,
    sent,
    message: outcome,
    retryAfterMs,
    provider: { status, code: null, requestId: null },
  };
}
