import type { GatewayEvent } from "../event/event.js";
import { eventId } from "../job/ids.js";
import { eventDocument } from "./event-document.js";
import type { Outgoing } from "./outgoing.js";
import { cloudEvent, type RenderSettings } from "./rendering.js";
import { eventValue } from "./value.js";

/**
 * An event as it is published. Its key is the job's id, else the batch's, else the account; else it has none.
 * @param no a number of the ledger's own for this event, so that its id is equal on every repeat and no other's.
 */
export function renderEvent(settings: RenderSettings, event: GatewayEvent, no: number, day: number): Outgoing {
  const id = eventId(event.kind, String(no));
  const key = event.jobId ?? event.batchId ?? event.account;
  return {
    kind: "event",
    no,
    day,
    topic: settings.eventsTopic,
    partition: null,
    key: key === null ? null : Buffer.from(key, "utf8"),
    headers: cloudEvent(settings, id, "sluice.event.v1", event.atMs, event.kind),
    value: eventValue(settings, eventDocument(event, id)),
  };
}
