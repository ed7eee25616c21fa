import type { PublishRefusal } from "../../ports/broker.js";

/**
 * What the brokers refuse for good, by Kafka's own names. What is not in this table is trouble that waiting mends or that nobody has
 * looked at (connection, leader election, replicas, time, quotas, credentials): records wait, and none of them is blamed for it. So is
 * `INVALID_TIMESTAMP`: the time of a record is ours, and a clock that is wrong by an hour must not make dead letters of results.
 *
 * `CORRUPT_MESSAGE` counts as a refusal of the record although Kafka calls it retriable: the client has sent it three times by then.
 * Source: https://kafka.apache.org/protocol.html#protocol_error_codes and kafkajs 2.2.4, src/protocol/error.js, read 2026-11-26.
 */
const REFUSED = {
  CORRUPT_MESSAGE: "records",
  MESSAGE_TOO_LARGE: "records",
  RECORD_LIST_TOO_LARGE: "records",
  UNSUPPORTED_FOR_MESSAGE_FORMAT: "records",
  INVALID_RECORD: "records",
  UNKNOWN_TOPIC_OR_PARTITION: "topic",
  INVALID_TOPIC_EXCEPTION: "topic",
  TOPIC_AUTHORIZATION_FAILED: "topic",
} as const satisfies Record<string, PublishRefusal["of"]>;

/** Errors of the client are wrapped once or twice: retries exceeded, not retriable. */
const WRAPPED_MAX = 5;

/** @returns null when the error is no refusal. */
export function publishRefusal(error: unknown): PublishRefusal | null {
  let inner: unknown = error;
  for (let depth = 0; depth < WRAPPED_MAX && inner instanceof Error; depth += 1) {
    const type: unknown = "type" in inner ? inner.type : undefined;
    if (typeof type === "string" && isRefused(type))
      return { kind: "refused", of: REFUSED[type], reason: `${type}: ${inner.message}` };
    inner = inner.cause;
  }
  return null;
}

function isRefused(type: string): type is keyof typeof REFUSED {
  return Object.hasOwn(REFUSED, type);
}
