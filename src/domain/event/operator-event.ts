import type { EpochMs } from "../ids.js";
import type { EventKind, EventSubject, GatewayEvent } from "./event.js";

/** Who did it, and when. */
export interface OperatorAction {
  readonly byWhom: string;
  readonly atMs: EpochMs;
}

/** Something that a person did with the ledger. @param message what, in a sentence without the name. */
export function operatorEvent(
  kind: Extract<EventKind, `operator.${string}`>,
  action: OperatorAction,
  message: string,
  subject: EventSubject,
  details: Readonly<Record<string, string>> = {},
): GatewayEvent {
  return {
    kind,
    message: `${message}, by ${action.byWhom}`,
    ...subject,
    provider: null,
    account: null,
    details: { byWhom: action.byWhom, ...details },
    atMs: action.atMs,
  };
}
