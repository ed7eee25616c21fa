import { eventDocument } from "../result/event-document.js";
import type { GatewayEvent } from "../event/event.js";
import { eventId } from "../job/ids.js";

/** The event as the webhook gets it: the document of the events topic in JSON, whatever that topic's encoding is. */
export function noticeOf(event: GatewayEvent, no: number): { readonly eventId: string; readonly body: string } {
  const id = eventId(event.kind, String(no));
  return { eventId: id, body: JSON.stringify(eventDocument(event, id)) };
}

export interface NoticeLimits {
  readonly triesMax: number;
  readonly giveUpAfterMs: number;
  readonly backoffBaseMs: number;
  readonly backoffMaxMs: number;
}

/** What follows a try that failed: when the next is due, or that there is none. @param random in [0, 1). */
export function afterFailedTry(
  { tries, ageMs }: { readonly tries: number; readonly ageMs: number },
  limits: NoticeLimits,
  random: number,
): { readonly kind: "retry"; readonly afterMs: number } | { readonly kind: "give_up" } {
  if (tries >= limits.triesMax || ageMs >= limits.giveUpAfterMs) return { kind: "give_up" };
  const backoffMs = Math.min(limits.backoffMaxMs, limits.backoffBaseMs * 2 ** Math.min(tries - 1, 30));
  // Between half and all of it, so that routers and receivers do not fall into step.
  return { kind: "retry", afterMs: Math.ceil(backoffMs * (0.5 + random / 2)) };
}
