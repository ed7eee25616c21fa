import type { Clock, Log, Random } from "../ports/system.js";

/** The pace of tries, no bound: whoever waits here takes in nothing new, and `stop` ends it. */
const BASE_MS = 100;
export const PERSIST_MAX_MS = 5000;

/**
 * Repeats a ledger or broker operation until it works, `stop` says otherwise, or it fails for a reason that waiting can't mend. The
 * operations are safe to repeat; giving up here would lose what only this process knows.
 * @param mendable whether the failure is trouble with the dependency.
 */
export async function persist<Result>(
  parts: { readonly clock: Clock; readonly random: Random; readonly log: Log },
  event: string,
  mendable: (error: unknown) => boolean,
  stop: () => boolean,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!mendable(error) || stop()) throw error;
      const waitMs = parts.random.next() * Math.min(PERSIST_MAX_MS, BASE_MS * 2 ** attempt);
      parts.log.warn(event, {
        attempt: attempt + 1,
        waitMs: Math.round(waitMs),
        message: error instanceof Error ? error.message : String(error),
      });
      // Serial: the next try only makes sense after the wait.
      await parts.clock.sleep(waitMs);
    }
  }
}
