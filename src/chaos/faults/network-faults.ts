import type { NetworkProxy, PathCounts } from "../network/network-proxy.js";
import type { NetworkPath, NetworkTrouble, PlannedFault } from "../plan/fault-plan.js";
import { comesAbout, seen, unseen, type ChaosStage, type FaultEnd } from "./stage.js";

type PlannedNetwork = Extract<PlannedFault, { kind: "network" }>;

/** How long a trouble is kept up for somebody to meet it, beyond its own time. */
const MEETING_WAIT_MS = 4000;

/** Breaks one path and mends it. Seen by what the proxy counted meanwhile. */
export async function breakNetwork(stage: ChaosStage, { path, trouble, forMs }: PlannedNetwork): Promise<FaultEnd> {
  const proxy = proxyOf(stage, path);
  if (proxy === null) return unseen("there is no such path");
  const atMs = Date.now();
  const startMs = performance.now();
  const before = proxy.counts;
  const met = (): boolean => effectOf(trouble, before, proxy.counts) > 0;
  try {
    if (trouble.kind === "cut") {
      // Nothing stands on a path that nobody uses at the moment.
      await comesAbout(stage, MEETING_WAIT_MS, () => proxy.cut() > 0);
    } else {
      proxy.setMode(trouble);
      await stage.sleep(forMs);
      await comesAbout(stage, MEETING_WAIT_MS, met);
    }
  } finally {
    proxy.setMode({ kind: "pass" });
  }
  const effect = effectOf(trouble, before, proxy.counts);
  if (effect === 0) return unseen("nobody used the path meanwhile");
  const slow = trouble.kind === "delay" || trouble.kind === "throttle";
  const callsLost = path.to === "simulator" ? proxy.callsLostSince(startMs) : 0;
  return seen({
    kind: slow ? "network_slow" : "network_cut",
    atMs,
    target: proxy.name,
    callsInAir: callsLost,
    workInFlight: true,
    detail: `${JSON.stringify(trouble)}: ${slow || trouble.kind === "hold" ? `${String(effect)} chunks waited` : `${String(effect)} connections`}`,
  });
}

function proxyOf(stage: ChaosStage, path: NetworkPath): NetworkProxy | null {
  if (path.to === "kafka") return stage.brokerProxies[path.broker] ?? null;
  return stage.routers.slots[path.router]?.paths.path(path.to) ?? null;
}

function effectOf(trouble: NetworkTrouble, before: PathCounts, after: PathCounts): number {
  switch (trouble.kind) {
    case "cut":
      return after.cut - before.cut;
    case "refuse":
      return after.cut - before.cut + after.refused - before.refused;
    case "delay":
    case "throttle":
    case "hold":
      return after.slowed - before.slowed;
  }
}
