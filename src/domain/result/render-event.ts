import { EVENT_KINDS, type GatewayEvent } from "../event/event.js";
import { eventId } from "../job/ids.js";
import type { Outgoing } from "./outgoing.js";
import { cloudEvent, iso, type RenderSettings } from "./rendering.js";

/**
 * An event as it is published: flat, as `schemas/event.schema.json` says. Its key is the job's id, else the account; else it has none.
 * @param no a number of the ledger's own for this event, so that its id is equal on every repeat and no other's.
 */
export function renderEvent(settings: RenderSettings, event: GatewayEvent, no: number, day: number): Outgoing {
  const id = eventId(event.kind, String(no));
  const document = {
    eventId: id,
    kind: event.kind,
    severity: EVENT_KINDS[event.kind],
    message: event.message,
    tenant: event.tenant,
    jobId: event.jobId,
    generation: event.generation,
    batchId: null,
    provider: event.provider,
    account: event.account,
    detailsJson: Object.keys(event.details).length === 0 ? null : JSON.stringify(event.details),
    at: iso(event.atMs),
  };
  const key = event.jobId ?? event.account;
  return {
    kind: "event",
    no,
    day,
    topic: settings.eventsTopic,
    partition: null,
    key: key === null ? null : Buffer.from(key, "utf8"),
    headers: cloudEvent(settings, id, "sluice.event.v1", event.atMs, event.kind),
    value: Buffer.from(JSON.stringify(document), "utf8"),
  };
}
