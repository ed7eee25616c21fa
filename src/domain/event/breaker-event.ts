import type { EpochMs } from "../ids.js";
import { NO_SUBJECT, type GatewayEvent } from "./event.js";

/** A breaker that changed. */
export interface BreakerSubject {
  readonly account: string;
  /** Null: of the whole account. */
  readonly model: string | null;
}

/** @param because why, in words. @param untilMs when it is tried next. */
export function breakerOpened(subject: BreakerSubject, because: string, untilMs: EpochMs, atMs: EpochMs): GatewayEvent {
  const message = `no calls go to ${nameOf(subject)} for now: ${because}`;
  return breakerEvent("breaker.opened", subject, message, { because, until: new Date(untilMs).toISOString() }, atMs);
}

/** @param openMs how long it was open. */
export function breakerClosed(subject: BreakerSubject, openMs: number, atMs: EpochMs): GatewayEvent {
  const seconds = String(Math.round(Math.max(0, openMs) / 1000));
  const message = `${nameOf(subject)} answers again, after ${seconds} s`;
  return breakerEvent("breaker.closed", subject, message, { openSeconds: seconds }, atMs);
}

function nameOf({ account, model }: BreakerSubject): string {
  return model === null ? `account ${account}` : `${account}/${model}`;
}

function breakerEvent(
  kind: "breaker.opened" | "breaker.closed",
  { account, model }: BreakerSubject,
  message: string,
  details: Readonly<Record<string, string>>,
  atMs: EpochMs,
): GatewayEvent {
  return {
    kind,
    message,
    ...NO_SUBJECT,
    provider: null,
    account,
    details: { ...(model === null ? {} : { model }), ...details },
    atMs,
  };
}
