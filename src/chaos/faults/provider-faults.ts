import { asObject, numberField, parseObject } from "../../demo/reader/json-fields.js";
import type { PlannedFault } from "../plan/fault-plan.js";
import { seen, unseen, type ChaosStage, type FaultEnd } from "./stage.js";

type PlannedTrouble = Extract<PlannedFault, { kind: "provider_fault" }>;

const REQUEST_TIMEOUT_MS = 3000;
/** A trouble that strikes one call in twenty waits so much longer for its first one. */
const MET_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 500;

/** Gives the simulated providers a trouble and takes it from them, once a call has met it. Seen by their own count of what they did wrong. */
export async function troubleProvider(stage: ChaosStage, { trouble, forMs }: PlannedTrouble): Promise<FaultEnd> {
  const { url } = stage.simulator;
  const atMs = Date.now();
  const before = await strikes(url);
  const brokenBefore = callsBroken(stage);
  await control(`${url}/simulator/faults`, { method: "POST", body: JSON.stringify(trouble.rules) });
  try {
    await stage.sleep(forMs);
    for (let waitedMs = 0; waitedMs < MET_WITHIN_MS && (await strikes(url)) === before; waitedMs += LOOK_EVERY_MS)
      await stage.sleep(LOOK_EVERY_MS);
  } finally {
    await control(`${url}/simulator/faults`, { method: "DELETE" });
  }
  const struck = (await strikes(url)) - before;
  if (struck === 0) return unseen(`no call met it: ${trouble.name}`);
  return seen({
    kind: "provider_fault",
    atMs,
    target: trouble.name,
    callsInAir: callsBroken(stage) - brokenBefore,
    workInFlight: true,
    detail: `struck ${String(struck)} times`,
  });
}

/** Of all routers: answers that were cut off, and those that never came, are calls whose outcome nobody knows. */
function callsBroken({ routers, guest }: ChaosStage): number {
  return [...routers.slots, guest].reduce((sum, { paths }) => sum + paths.path("simulator").counts.callsBroken, 0);
}

async function strikes(url: string): Promise<number> {
  const faults = asObject((await control(`${url}/simulator/stats`, {}))["faults"]) ?? {};
  return Object.keys(faults).reduce((sum, kind) => sum + (numberField(faults, kind) ?? 0), 0);
}

async function control(url: string, request: RequestInit): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`the simulator refused ${url}: ${text}`);
  return parseObject(text) ?? {};
}
