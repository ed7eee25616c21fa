import { numberField, parseObject } from "../../demo/reader/json-fields.js";
import type { Fault } from "../evidence/evidence.js";
import type { PlannedFault } from "../plan/fault-plan.js";
import { comesAbout, seen, unseen, withDefaults, type ChaosStage, type CommandEnd, type FaultEnd } from "./stage.js";

const JOIN_WAIT_MS = 15_000;
const STOP_GRACE_MS = 20_000;
/** Of the newest jobs, so many are tried until one has not ended. */
const CANCEL_TRIES = 3;
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

/** Two operators replay the same dead letters at once. */
export async function replayTwice(stage: ChaosStage): Promise<FaultEnd> {
  const atMs = Date.now();
  const ends = await Promise.all([stage.command(REPLAY), stage.command(REPLAY)]);
  const replayed = ends.map(replayedBy);
  const counts = replayed.map((count) => count ?? 0);
  const sum = counts.reduce((all, count) => all + count, 0);
  if (sum === 0) return unseen(`nothing was replayed; exit codes ${ends.map(({ exitCode }) => String(exitCode)).join(", ")}`);
  const faults = counts.map(
    (count, index): Fault =>
      withDefaults({ kind: "replay", atMs, target: `operator ${String(index + 1)}`, detail: `replayed ${String(count)}` }),
  );
  return { seen: faults };
}

function replayedBy({ exitCode, stdout }: CommandEnd): number | null {
  if (exitCode !== 0 && exitCode !== REPLAYED_PARTLY) return null;
  return numberField(parseObject(stdout.trim()) ?? {}, "replayed");
}

/** An operator cancels a job that was just sent. */
export async function cancelJob(stage: ChaosStage): Promise<FaultEnd> {
  const jobs = stage.published().filter(({ kind, mode }) => kind === "job" && mode !== "direct");
  for (const { jobId, tenant } of jobs.slice(-CANCEL_TRIES).reverse()) {
    if (jobId === null) continue;
    const atMs = Date.now();
    // One after the other: the next is tried only when this one had ended.
    const { exitCode } = await stage.command(["jobs", "cancel", jobId, "--tenant", tenant, "--json"]);
    if (exitCode === 0) return seen({ kind: "cancel", atMs, target: `${tenant}/${jobId}` });
  }
  return unseen("no job could be cancelled");
}
