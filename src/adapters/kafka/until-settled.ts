import type { Clock } from "../../ports/system.js";

const TRIES = 20;
const WAIT_MS = 250;

/**
 * Asks again while the cluster is still settling: a new topic without a leader, a coordinator that is loading. kafkajs repeats some of these
 * questions itself and gives up on others at once; it marks both `retriable`.
 * @throws the last error after five seconds, and at once what waiting can't mend.
 */
export async function untilSettled<Result>(clock: Clock, ask: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (attempt >= TRIES || !isRetriable(error)) throw error;
      // Serial: the same question, later.
      await clock.sleep(WAIT_MS);
    }
  }
}

/** kafkajs wraps an error that it gave up on; the reason is its cause. */
function isRetriable(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  if ("retriable" in error && error.retriable === true) return true;
  return "cause" in error && isRetriable(error.cause);
}
