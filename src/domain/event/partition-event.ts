import type { EpochMs } from "../ids.js";
import { NO_SUBJECT, type GatewayEvent } from "./event.js";

/** What a consumer found when it compared the ledger's position with a partition's log. */
export type PartitionAlert = {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the next record that the ledger expects. */
  readonly ledgerNext: number;
} & (
  | { readonly cause: "truncated"; readonly logStart: number; readonly logEnd: number }
  | { readonly cause: "other_topic"; readonly offset: number }
  | { readonly cause: "gap"; readonly logStart: number; readonly lostAtMost: number }
);

/** A partition that its router does not read on. */
export type StoppedPartition = Exclude<PartitionAlert, { readonly cause: "gap" }>;

const WHAT_TO_DO = "look what happened to the topic, then run: sluice topics adopt";

export function partitionEvent(alert: PartitionAlert, atMs: EpochMs): GatewayEvent {
  const details = Object.entries(alert).map(([name, value]) => [name, String(value)]);
  return {
    kind: `position.${alert.cause}`,
    message: messageOf(alert),
    ...NO_SUBJECT,
    provider: null,
    account: null,
    details: Object.fromEntries(details) as Readonly<Record<string, string>>, // made of texts above
    atMs,
  };
}

function messageOf(alert: PartitionAlert): string {
  const place = `partition ${String(alert.partition)} of ${alert.topic}`;
  const next = String(alert.ledgerNext);
  switch (alert.cause) {
    case "truncated":
      return `${place} stopped: its log ends at ${String(alert.logEnd)}, records below ${next} were accepted; ${WHAT_TO_DO}`;
    case "other_topic":
      return `${place} stopped: the record at ${String(alert.offset)} is none that was accepted; ${WHAT_TO_DO}`;
    case "gap":
      return `${place} lost up to ${String(alert.lostAtMost)} records before they were read: ${next} was next, its log begins at ${String(alert.logStart)}`;
  }
}
