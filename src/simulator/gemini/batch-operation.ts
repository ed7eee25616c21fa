/** What a batch says of itself as a long-running operation: state, times, counts, error. Source: see `batches.ts`. */
import type { BatchView } from "../engine/batch-engine.js";
import type { JsonObject } from "../engine/field-checks.js";

const RPC_CODES: Readonly<Record<string, number>> = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
};

/** An error inside an operation carries the number of its word; one in a line of a file the HTTP status. */
export function operationError(word: string, message: string): JsonObject {
  return { code: RPC_CODES[word] ?? 2, message };
}

export function stateWord(batch: BatchView): string {
  if (batch.strangeState !== null) return `BATCH_STATE_${batch.strangeState.toUpperCase()}`;
  switch (batch.state) {
    case "validating":
      return "BATCH_STATE_PENDING";
    case "in_progress":
    case "finalizing":
    case "cancelling":
      return "BATCH_STATE_RUNNING";
    case "completed":
      return "BATCH_STATE_SUCCEEDED";
    case "failed":
      return "BATCH_STATE_FAILED";
    case "expired":
      return "BATCH_STATE_EXPIRED";
    case "cancelled":
      return "BATCH_STATE_CANCELLED";
  }
}

export function endedMs({ times }: BatchView): number | null {
  return times.completedMs ?? times.expiredMs ?? times.cancelledMs ?? times.failedMs;
}

export function updatedMs({ times }: BatchView): number {
  return Math.max(...Object.entries(times).flatMap(([name, ms]) => (name === "expiresMs" || ms === null ? [] : [ms])));
}

/** 64-bit numbers are text, and zeros are left out. */
export function statsJson({ total, counts }: BatchView): JsonObject {
  const pending = total - counts.succeeded - counts.failed;
  const stats = {
    requestCount: total,
    successfulRequestCount: counts.succeeded,
    failedRequestCount: counts.failed,
    pendingRequestCount: pending,
  };
  return Object.fromEntries(
    Object.entries(stats).flatMap(([name, count]) => (count <= 0 ? [] : [[name, String(count)]])),
  );
}

/** Why an operation that is done has no response. */
export function errorOf(batch: BatchView): JsonObject | null {
  switch (batch.state) {
    case "failed": {
      const [problem] = batch.problems;
      return operationError(problem?.code ?? "INTERNAL", problem?.message ?? "The batch failed.");
    }
    case "expired":
      return operationError("DEADLINE_EXCEEDED", "The batch was not done within 48 hours.");
    case "cancelled":
      return operationError("CANCELLED", "The batch was cancelled.");
    case "validating":
    case "in_progress":
    case "finalizing":
    case "cancelling":
    case "completed":
      return null;
  }
}
