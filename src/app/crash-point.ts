import { BATCH_POINTS, type BatchPoint } from "../pipeline/batch/batch-parts.js";

/** Told where in the life of a batch this router is. */
export type AtPoint = (point: BatchPoint) => Promise<void>;

/**
 * For tests of kills: the process ends itself there as SIGKILL ends it, and nothing goes on. `uploading`, or `create_leaving:200` for so
 * many milliseconds later, at most a minute.
 * @throws Error for another text.
 */
export function crashPoint(text: string): AtPoint {
  const [name, waitText = "0"] = text.split(":");
  const point = BATCH_POINTS.find((one) => one === name);
  const waitMs = Number(waitText);
  if (point === undefined || !Number.isInteger(waitMs) || waitMs < 0 || waitMs > 60_000)
    throw new Error(
      `SLUICE_CRASH_AT: expected one of ${BATCH_POINTS.join(", ")}, with :<milliseconds> or without, got ${text}`,
    );
  return async (reached) => {
    if (reached !== point) return;
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => undefined);
  };
}
