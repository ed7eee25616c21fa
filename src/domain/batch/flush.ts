import type { EpochMs } from "../ids.js";
import { withMargin } from "../route/choose-mode.js";
import { LINE_ID_BYTES_MAX, type PackLimits } from "./pack.js";

/**
 * When a pool's lines become a batch. Asked, never fires: pure, from what waits and what the account has room for.
 *
 * A pool is flushed when a batch of it would be full, when its oldest line has waited its time, or when a deadline needs it. An account
 * whose allowance is nearly used up waits for a batch to end instead of filling what trickles free with many small ones, unless a
 * deadline needs it.
 */

/** Share of the allowance below which only a deadline makes a batch of it. */
const HEADROOM_SHARE_MIN = 0.05;

/** What waits in one pool, see `PoolLoad`. */
export interface FlushLoad {
  readonly lines: number;
  /** Sum of (bytes + 1), ids left out. */
  readonly bytes: number;
  readonly tokens: number;
  readonly oldestAtMs: EpochMs;
  readonly nearestLookAtMs: EpochMs;
}

/** What the account's live batches leave. Null: not limited. */
export interface AccountRoom {
  readonly tokensLeft: number | null;
  readonly linesLeft: number | null;
  readonly batchesLeft: number | null;
  /** Nothing is tried before: the account was found full, or a refusal said to wait. Null: nothing is known to be in the way. */
  readonly heldUntilMs: EpochMs | null;
}

export interface FlushTimes {
  /** The oldest line waits at most so long. */
  readonly flushAfterMs: number;
  /** How long before the nearest `lookAtMs` lines are bound, see `deadlineLeadMs`. */
  readonly leadMs: number;
}

export type FlushReason = "full_lines" | "full_bytes" | "full_tokens" | "oldest" | "deadline";

export type FlushAnswer =
  | { readonly kind: "flush"; readonly because: FlushReason }
  /** Nothing has to be done before then, unless lines come. */
  | { readonly kind: "wait"; readonly dueAtMs: EpochMs }
  /** It is due, and the account has no room. Null: until a batch ends. */
  | {
      readonly kind: "held";
      readonly because: FlushReason;
      readonly limit: "hold" | "open_batches" | "enqueued_tokens" | "queued_lines";
      readonly untilMs: EpochMs | null;
    };

/**
 * Two looks may miss a line by a hair each, and binding takes a moment. The margin beside them is for lines of jobs that insist on a
 * batch: their look is the last instant at which one of a usual turnaround makes it.
 */
export function deadlineLeadMs(lookEveryMs: number, turnaroundP95Ms: number): number {
  return 2 * lookEveryMs + 2_000 + withMargin(turnaroundP95Ms) - turnaroundP95Ms;
}

/** What one batch of the pool takes, see `packLimits`; `tokensMax` is what all live batches of the account may hold, so one too. */
export type FlushLimits = Pick<PackLimits, "linesMax" | "bytesMax" | "frameBytes" | "tokensMax">;

export function flushAnswer(
  load: FlushLoad,
  full: FlushLimits,
  room: AccountRoom,
  times: FlushTimes,
  nowMs: EpochMs,
): FlushAnswer {
  const dueAtMs = Math.min(load.oldestAtMs + times.flushAfterMs, load.nearestLookAtMs - times.leadMs);
  const because = reasonToFlush(load, full, times, nowMs);
  if (load.lines === 0 || because === null) return { kind: "wait", dueAtMs };
  const limit = limitInTheWay(load, full, room, because, nowMs);
  if (limit === null) return { kind: "flush", because };
  return { kind: "held", because, limit, untilMs: limit === "hold" ? room.heldUntilMs : null };
}

/** A deadline comes first: it counts more than the others where room is short. */
function reasonToFlush(
  load: FlushLoad,
  full: FlushLimits,
  { flushAfterMs, leadMs }: FlushTimes,
  nowMs: EpochMs,
): FlushReason | null {
  if (nowMs >= load.nearestLookAtMs - leadMs) return "deadline";
  if (full.linesMax !== null && load.lines >= full.linesMax) return "full_lines";
  if (load.bytes + load.lines * LINE_ID_BYTES_MAX + full.frameBytes >= full.bytesMax) return "full_bytes";
  if (full.tokensMax !== null && load.tokens >= full.tokensMax) return "full_tokens";
  return nowMs - load.oldestAtMs >= flushAfterMs ? "oldest" : null;
}

function limitInTheWay(
  load: FlushLoad,
  full: FlushLimits,
  room: AccountRoom,
  because: FlushReason,
  nowMs: EpochMs,
): Extract<FlushAnswer, { kind: "held" }>["limit"] | null {
  if (room.heldUntilMs !== null && room.heldUntilMs > nowMs) return "hold";
  if (room.batchesLeft !== null && room.batchesLeft <= 0) return "open_batches";
  if (room.linesLeft !== null && room.linesLeft <= 0) return "queued_lines";
  if (room.tokensLeft === null) return null;
  const worthIt = because === "deadline" ? 1 : Math.min(load.tokens, (full.tokensMax ?? 0) * HEADROOM_SHARE_MIN);
  return room.tokensLeft < Math.max(1, worthIt) ? "enqueued_tokens" : null;
}
