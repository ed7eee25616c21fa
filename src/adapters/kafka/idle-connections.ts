import { createRequire } from "node:module";

/** kafkajs' queue of a connection's requests; `pending` are those that were not sent yet. */
interface RequestQueue {
  readonly pending: readonly unknown[];
}

type ScheduleCheck = (this: RequestQueue) => void;

/**
 * Lets connections rest while they have nothing to send. kafkajs 2.2.4 looks for requests to send a millisecond after it last looked, on
 * each connection, whether there are any or not (src/network/requestQueue/index.js; its issue 1704): a router without work was woken more
 * than 1,000 times a second. A request that has to wait asks for its check by itself, so without one none is needed.
 * Calling it again does nothing.
 */
export function letIdleConnectionsRest(): void {
  const queue = createRequire(import.meta.url)("kafkajs/src/network/requestQueue") as {
    prototype: { scheduleCheckPendingRequests: ScheduleCheck };
  }; // the pinned version's own file
  const { prototype } = queue;
  const schedule = prototype.scheduleCheckPendingRequests;
  if (patched.has(schedule)) return;
  const patch: ScheduleCheck = function () {
    if (this.pending.length > 0) schedule.call(this);
  };
  patched.add(patch);
  prototype.scheduleCheckPendingRequests = patch;
}

const patched = new WeakSet<ScheduleCheck>();
