import type { AttemptIntent } from "../execution/execution.js";
import type { ErrorCode } from "../failure.js";
import type { EpochMs, LedgerKey } from "../ids.js";
import { attemptId } from "../job/ids.js";
import type { EventSubject, GatewayEvent } from "./event.js";

/** The part of an attempt that an event tells of. */
export type DoubtfulAttempt = Pick<AttemptIntent, "no" | "number" | "account" | "provider" | "model" | "maxNanoUsd">;

interface Doubt {
  readonly attempt: DoubtfulAttempt;
  readonly execution: LedgerKey;
  readonly subject: EventSubject;
  readonly atMs: EpochMs;
}

/** @param why what came in between, in a few words. */
export function doubtBegan(doubt: Doubt, why: string): GatewayEvent {
  return doubtEvent("attempt.in_doubt", doubt, `may have been billed and its outcome is unknown: ${why}`, { why });
}

/** What came after a doubt: another attempt, nothing since nobody waits any more, or the code that its jobs failed with. */
export type DoubtFollowed = ErrorCode | "retried" | "dropped";

export function doubtSettled(doubt: Doubt, followed: DoubtFollowed): GatewayEvent {
  return doubtEvent("attempt.settled", doubt, `stays in doubt and was settled: ${followedInWords(followed)}`, {
    followed,
  });
}

function followedInWords(followed: DoubtFollowed): string {
  if (followed === "retried") return "another attempt follows";
  return followed === "dropped" ? "nobody waits for it any more" : `its jobs failed with ${followed}`;
}

function doubtEvent(
  kind: "attempt.in_doubt" | "attempt.settled",
  { attempt, execution, subject, atMs }: Doubt,
  what: string,
  more: Readonly<Record<string, string>>,
): GatewayEvent {
  const { account, provider, model } = attempt;
  return {
    kind,
    message: `attempt ${String(attempt.number)} at ${account}/${model} ${what}`,
    ...subject,
    provider,
    account,
    details: {
      attemptId: attemptId(execution.day, attempt.no),
      executionId: attemptId(execution.day, execution.no),
      attempt: String(attempt.number),
      model,
      maxNanoUsd: attempt.maxNanoUsd.toString(),
      ...more,
    },
    atMs,
  };
}
