import { crashPointFacts, type CrashPoint } from "../../ports/crash-points.js";
import type { BookedPoints } from "../routers/crash-point-book.js";

/**
 * Points that every run of this kind passes again and again: each of them must be hit in a run of full length. The others are tried too, and
 * told; some need what happens only now and then (`session.dead_declared`: a router that is stopped for longer than its session lives, since one
 * that is killed is started again, and its journal tells of the death), some a config that this run does not have.
 */
const USUAL: readonly CrashPoint[] = [
  "intake.read",
  "intake.before_accept",
  "intake.before_commit",
  "intake.commit_sent",
  "intake.after_accept",
  "intake.settled",
  "intake.before_offset_commit",
  "intake.after_offset_commit",
  "claim.before_commit",
  "claim.commit_sent",
  "claim.after",
  "call.before_start",
  "call.first_byte",
  "call.in_air",
  "call.answered",
  "call.kept",
  "finish.before_write",
  "finish.before_commit",
  "finish.commit_sent",
  "finish.after_write",
  "relay.before_send",
  "relay.in_flight",
  "relay.after_ack",
  "relay.after_drop",
  "cost.before_send",
  "cost.after_ack",
  "dead_letter.before_send",
  "dead_letter.after_ack",
  "batch.before_open",
  "batch.opened",
  "batch.bind_before_commit",
  "batch.bind_commit_sent",
  "batch.bound",
  "batch.sealed",
  "batch.uploading",
  "batch.upload_line",
  "batch.upload_answered",
  "batch.uploaded",
  "batch.creating",
  "batch.create_leaving",
  "batch.create_in_flight",
  "batch.create_answered",
  "batch.submitted",
  "batch.save_before_commit",
  "batch.save_commit_sent",
  "batch.claimed",
  "batch.polled",
  "batch.ended",
  "batch.downloading",
  "batch.result_read",
  "batch.group_stored",
  "batch.results_read",
  "batch.done",
  "session.opened",
  "session.before_beat",
  "session.after_beat",
  "start.schema_checked",
  "start.listening",
  "start.ready",
];

/** Points that only another config passes, or another command than those of a run. */
const ELSEWHERE =
  /^(?:group|give_up|migrate|adopt|redeliver|discard|resolve|batch_cancel|batch\.cancel|batch\.erased|session\.drain|session\.ended)/;

/** Passed by an operator's replay, and by an operator's cancellation. */
const REPLAY = /^(?:operator|replay)\./;
const CANCEL = /^cancel\./;

const passedBy = (who: "router" | "command"): readonly CrashPoint[] =>
  crashPointFacts().flatMap((facts) => (facts.passedBy === who && !ELSEWHERE.test(facts.name) ? [facts.name] : []));

/** In a run of many kills a router lives for some ten seconds: it starts once, beats now and then, and takes a batch or two a step further. */
const ONCE_IN_A_LIFE = /^(?:start|journal)\.|^session\.(?!before_beat|after_beat)/;
const SELDOM_IN_A_LIFE = /^session\.|^batch\.(?!upload_line|result_read)/;

function passingsOfALife(point: string): number {
  if (ONCE_IN_A_LIFE.test(point)) return 1;
  return SELDOM_IN_A_LIFE.test(point) ? 2 : Number.POSITIVE_INFINITY;
}

export const ROUTER_POINTS: BookedPoints = {
  usual: USUAL,
  seldom: passedBy("router").filter((point) => !USUAL.includes(point)),
  passingsOfALife,
};
export const REPLAY_POINTS = ofCommand(REPLAY);
export const CANCEL_POINTS = ofCommand(CANCEL);

function ofCommand(names: RegExp): BookedPoints {
  const usual = passedBy("command").filter((point) => names.test(point));
  return { usual, seldom: [], passingsOfALife: () => Number.POSITIVE_INFINITY };
}

/** Of the usual points, how many a run has to hit: all of them with kills enough, else fewer than it has kills. */
export function pointsMin(killsMin: number): number {
  return Math.min(USUAL.length, Math.floor(killsMin * POINTS_PER_KILL));
}

const POINTS_PER_KILL = 0.5;
