import { numberField, parseObject } from "../../demo/reader/json-fields.js";
import type { Fault } from "../evidence/evidence.js";
import type { PlannedFault } from "../plan/fault-plan.js";
import type { CrashPointBook } from "../routers/crash-point-book.js";
import { comesAbout, seen, unseen, withDefaults, type ChaosStage, type CommandEnd, type FaultEnd } from "./stage.js";

const JOIN_WAIT_MS = 15_000;
const STOP_GRACE_MS = 20_000;
/** Of the jobs sent last, these are tried, until one is accepted and has not ended: the newest may not be read yet, nor all of the last seconds after a kill. */
const CANCEL_BACK = [1, 20, 60, 150, 400, 800] as const;
/** Replayed jobs have to end with the run. */
const REPLAY = ["dlq", "replay", "--where", "code = DEADLINE_EXCEEDED", "--set", "deadline=+1m", "--yes", "--json"];
const REPLAYED_PARTLY = 6;

/** One more router of the group comes, reads, and goes again in order. */
export async function rebalance(
  stage: ChaosStage,
  { forMs }: Extract<PlannedFault, { kind: "rebalance" }>,
): Promise<FaultEnd> {
  const { guest } = stage;
  const atMs = Date.now();
  const before = await stage.ledger.sessionOf(guest.name);
  guest.start(null);
  const pid = guest.pid;
  const hasSession = async (): Promise<boolean> => {
    const session = await stage.ledger.sessionOf(guest.name);
    return session !== null && session !== before;
  };
  const came = await comesAbout(stage, JOIN_WAIT_MS, hasSession);
  await stage.sleep(forMs);
  const members = await stage.groupMembers();
  const end = await guest.stop(STOP_GRACE_MS);
  if (!came || end === null) return unseen("the guest did not come");
  return seen({
    kind: "rebalance",
    atMs,
    target: guest.name,
    pid,
    signal: end.signal,
    detail: `${members === null ? "?" : String(members)} members while it was there`,
  });
}

/** Two operators replay the same dead letters at once; one of them dies at it as long as there are points for that which were not hit. */
export async function replayTwice(stage: ChaosStage): Promise<FaultEnd> {
  const atMs = Date.now();
  const { replay: book } = stage.commandPoints;
  const armed = book.missed.length > 0 ? book.next() : null;
  const ends = await Promise.all([stage.command(REPLAY, armed), stage.command(REPLAY, null)]);
  const counts = ends.map(replayedBy);
  const sum = counts.reduce<number>((all, count) => all + (count ?? 0), 0);
  const crashes = crashesOf(ends, book, atMs);
  if (sum === 0 && crashes.length === 0)
    return unseen(`nothing was replayed; exit codes ${ends.map(({ exitCode }) => String(exitCode)).join(", ")}`);
  const faults = counts.map((count, index): Fault =>
    withDefaults({
      kind: "replay",
      atMs,
      target: `operator ${String(index + 1)}`,
      detail: count === null ? "did not come to its end" : `replayed ${String(count)}`,
    }),
  );
  return { seen: [...faults, ...crashes] };
}

/** Commands that killed themselves. */
function crashesOf(ends: readonly CommandEnd[], book: CrashPointBook, atMs: number): readonly Fault[] {
  return ends.flatMap(({ pid, crash }) => {
    if (crash === null) return [];
    book.hit(crash.point);
    const died = { pid, signal: "SIGKILL", point: crash.point, callsInAir: 0, workInFlight: true };
    return [withDefaults({ kind: "crash_point", atMs, target: "operator", ...died })];
  });
}

function replayedBy({ exitCode, stdout }: CommandEnd): number | null {
  if (exitCode !== 0 && exitCode !== REPLAYED_PARTLY) return null;
  return numberField(parseObject(stdout.trim()) ?? {}, "replayed");
}

/** An operator cancels a job that was sent a moment ago. */
export async function cancelJob(stage: ChaosStage): Promise<FaultEnd> {
  const jobs = stage.published().filter(({ kind, mode }) => kind === "job" && mode !== "direct");
  const { cancel: book } = stage.commandPoints;
  for (const { jobId, tenant } of CANCEL_BACK.flatMap((back) => jobs.at(-back) ?? [])) {
    if (jobId === null) continue;
    const atMs = Date.now();
    const armed = book.missed.length > 0 ? book.next() : null;
    // One after the other: the next is tried only when this one had ended.
    const end = await stage.command(["jobs", "cancel", jobId, "--tenant", tenant, "--json"], armed);
    const target = `${tenant}/${jobId}`;
    if (end.exitCode === 0) return seen({ kind: "cancel", atMs, target });
    const crashes = crashesOf([end], book, atMs);
    if (crashes.length > 0)
      return { seen: [withDefaults({ kind: "cancel", atMs, target, detail: "killed at it" }), ...crashes] };
  }
  return unseen("no job could be cancelled");
}
