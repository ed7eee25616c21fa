import { randomBytes } from "node:crypto";
import { v7 } from "uuid";
import type { Clock, Random } from "../../ports/system.js";

/** For jitter and spreading, not for secrets. */
export const systemRandom: Random = { next: () => Math.random() };

/** Unique ids that sort by time (UUID version 7), as text. */
export interface Ids {
  next(): string;
}

const UUID_BYTES = 16;
/** One call for random bytes costs as much as this many ids. */
const IDS_PER_DRAW = 256;

/** Ids from the clock and the system's randomness; bytes are drawn for many ids at once, since a group needs hundreds. */
export function systemIds(clock: Clock): Ids {
  let pool: Uint8Array = Buffer.alloc(0);
  let used = 0;
  return {
    next() {
      if (used + UUID_BYTES > pool.length) {
        pool = randomBytes(UUID_BYTES * IDS_PER_DRAW);
        used = 0;
      }
      const random = pool.subarray(used, used + UUID_BYTES);
      used += UUID_BYTES;
      return v7({ msecs: clock.nowMs(), random });
    },
  };
}
