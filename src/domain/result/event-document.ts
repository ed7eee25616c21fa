import { EVENT_KINDS, type EventKind, type EventSeverity, type GatewayEvent } from "../event/event.js";
import { iso } from "./rendering.js";

/** An event's value, flat, as `schemas/event.schema.json` says. */
export interface EventDocument {
  readonly eventId: string;
  readonly kind: EventKind;
  readonly severity: EventSeverity;
  readonly message: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly generation: number | null;
  readonly batchId: string | null;
  readonly provider: string | null;
  readonly account: string | null;
  /** Null when there are no details. */
  readonly detailsJson: string | null;
  readonly at: string;
}

export function eventDocument(event: GatewayEvent, eventId: string): EventDocument {
  return {
    eventId,
    kind: event.kind,
    severity: event.severity ?? EVENT_KINDS[event.kind],
    message: event.message,
    tenant: event.tenant,
    jobId: event.jobId,
    generation: event.generation,
    batchId: event.batchId ?? null,
    provider: event.provider,
    account: event.account,
    detailsJson: Object.keys(event.details).length === 0 ? null : JSON.stringify(event.details),
    at: iso(event.atMs),
  };
}
