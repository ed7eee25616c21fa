import type { PlannedFault } from "../plan/fault-plan.js";
import type { RouterSlot } from "../routers/router-slot.js";
import { comesAbout, seen, unseen, type ChaosStage, type FaultEnd } from "./stage.js";

type Planned<Kind extends PlannedFault["kind"]> = Extract<PlannedFault, { kind: Kind }>;

const UP_WAIT_MS = 8000;
const SUSPICION_WAIT_MS = 6000;
const CALLS_WAIT_MS = 3000;
const STOP_GRACE_MS = 20_000;
/** Longer than it takes until others have noticed. */
const DEATH_WAIT_MS = 4000;
/** The library reads its file once a second, and a router that is killed meanwhile begins with the other time. */
const JUMP_WAIT_MS = 12_000;
/** Of a jump, so much must be seen: the clock's own second and the way of the question are within the rest. */
const JUMP_SEEN_SHARE = 0.9;

/**
 * One thing is not done: a router is not killed while a record is marked. The gateway takes a record for one that ends its readers when two in
 * a row die with it marked, whatever killed them, and puts it aside as a dead letter: by design, and tested elsewhere.
 */
export async function killRouter(stage: ChaosStage, { router, moment }: Planned<"router_kill">): Promise<FaultEnd> {
  const { slots } = stage.routers;
  await comesAbout(stage, UP_WAIT_MS, () => slots.some((slot) => slot.isRunning && !slot.isStopped));
  await comesAbout(stage, SUSPICION_WAIT_MS, async () => !(await stage.ledger.nearlySuspects()));
  let victim = router;
  if (moment === "calls") {
    await comesAbout(stage, CALLS_WAIT_MS, () => {
      victim = longestAlive(slots, hasCalls) ?? router;
      return hasCalls(slots[victim]);
    });
  }
  const fault = await stage.routers.kill(victim);
  return fault === null ? unseen("no router ran") : { seen: [fault] };
}

/** Which of these has lived longest: it had most time to come by the crash point it is armed with. @returns null: there is none. */
function longestAlive(slots: readonly RouterSlot[], isMeant: (slot: RouterSlot) => boolean): number | null {
  const meant = slots.filter(isMeant).sort((one, other) => other.aliveMs - one.aliveMs);
  return meant[0] === undefined ? null : slots.indexOf(meant[0]);
}

function hasCalls(slot: RouterSlot | undefined): boolean {
  return slot !== undefined && slot.isRunning && !slot.isStopped && slot.paths.traffic.callsOpen > 0;
}

/** SIGSTOP for longer than its session lives: it wakes as a zombie, whose work others hold by then. */
export async function stopRouter(stage: ChaosStage, { router, forMs }: Planned<"router_stop">): Promise<FaultEnd> {
  const slot = await runningSlot(stage, router);
  if (typeof slot?.pid !== "number") return unseen("the router did not run");
  const { pid } = slot;
  const session = await stage.ledger.sessionOf(slot.name);
  const atMs = Date.now();
  const { callsOpen, callsAnswered, exchangesOpen } = slot.paths.traffic;
  slot.signal("SIGSTOP");
  await stage.sleep(20);
  const stopped = slot.pid === pid && slot.isStopped;
  await stage.sleep(forMs);
  const died = session !== null && (await comesAbout(stage, DEATH_WAIT_MS, () => stage.ledger.died(session)));
  const stillThere = slot.pid === pid;
  slot.signal("SIGCONT");
  if (!stopped || !stillThere) return unseen("the router did not stay stopped");
  return seen({
    kind: "router_stop",
    atMs,
    target: slot.name,
    pid,
    callsInAir: callsOpen + callsAnswered,
    workInFlight: exchangesOpen > 0,
    detail: died ? "declared dead meanwhile" : "not declared dead meanwhile",
  });
}

export async function restartRouter(stage: ChaosStage, { router }: Planned<"router_restart">): Promise<FaultEnd> {
  const slot = await runningSlot(stage, router);
  if (typeof slot?.pid !== "number") return unseen("the router did not run");
  const { pid } = slot;
  const [atMs, askedMs] = [Date.now(), performance.now()];
  const end = await slot.stop(STOP_GRACE_MS);
  const callsLost = slot.paths.callsLostSince(askedMs);
  stage.routers.start(slot);
  if (end === null) return unseen("the router had ended");
  const how = end.code === null ? `ended by ${end.signal ?? "nobody"}` : `exit code ${String(end.code)}`;
  // One that does not stop in its time is killed: that is a kill like any other, and may leave calls in doubt.
  const callsInAir = end.signal === "SIGKILL" ? callsLost : null;
  return seen({ kind: "router_restart", atMs, target: slot.name, pid, signal: end.signal, callsInAir, detail: how });
}

export async function jumpClock(stage: ChaosStage, { router, byMs, forMs }: Planned<"clock_jump">): Promise<FaultEnd> {
  const slot = await runningSlot(stage, router);
  const clock = slot?.clock ?? null;
  if (slot === null || clock === null) return unseen("the router did not run");
  const atMs = Date.now();
  const hasJumped = async (): Promise<boolean> => {
    const offsetMs = await slot.clockOffsetMs();
    return offsetMs !== null && offsetMs / byMs > JUMP_SEEN_SHARE;
  };
  await clock.set(byMs);
  try {
    if (!(await comesAbout(stage, JUMP_WAIT_MS, hasJumped))) return unseen("the router's clock did not show it");
    await stage.sleep(forMs);
  } finally {
    await clock.set(0);
  }
  return seen({ kind: "clock_jump", atMs, target: slot.name, detail: `by ${String(byMs / 60_000)} min and back` });
}

async function runningSlot(stage: ChaosStage, wanted: number): Promise<RouterSlot | null> {
  const slot = stage.routers.slots[wanted] ?? null;
  if (slot === null) return null;
  const runs = await comesAbout(
    stage,
    UP_WAIT_MS,
    () => slot.isRunning && !slot.isStopped && slot.armed === null && slot.aliveMs > 1500,
  );
  return runs || (slot.isRunning && !slot.isStopped) ? slot : null;
}
