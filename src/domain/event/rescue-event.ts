import { batchId } from "../batch/batch.js";
import type { AttemptIntent, LineOut } from "../execution/execution.js";
import type { EpochMs } from "../ids.js";
import type { GatewayEvent } from "./event.js";

/** A call that is made beside a line. */
export interface Rescue {
  readonly line: LineOut;
  readonly intent: Pick<AttemptIntent, "maxNanoUsd">;
}

/** One event a batch: its lines are rescued in groups. */
export function rescuesBegan(rescues: readonly Rescue[], atMs: EpochMs): readonly GatewayEvent[] {
  const batches = new Map<number, Rescue[]>();
  for (const rescue of rescues) batches.set(rescue.line.batchNo, [...(batches.get(rescue.line.batchNo) ?? []), rescue]);
  return [...batches].map(([batchNo, its]) => eventOf(batchNo, its, atMs));
}

function eventOf(batchNo: number, rescues: readonly Rescue[], atMs: EpochMs): GatewayEvent {
  const lines = String(rescues.length);
  const maxNanoUsd = rescues.reduce((sum, { intent }) => sum + intent.maxNanoUsd, 0n).toString();
  return {
    kind: "batch.rescued",
    message: `calls are made beside ${lines} of its lines, whose deadlines it may miss; the second answer to each is waste`,
    tenant: null,
    jobId: null,
    generation: null,
    batchId: batchId(batchNo),
    provider: rescues[0]?.line.provider ?? null,
    account: rescues[0]?.line.account ?? null,
    details: { lines, maxNanoUsd },
    atMs,
  };
}
