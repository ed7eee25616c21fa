import { createHmac } from "node:crypto";
import { Agent, request } from "undici";
import type { Webhook, WebhookAnswer } from "../../ports/webhook.js";

export interface WebhookSettings {
  readonly url: string;
  /** Shared with the receiver. Never to be logged. */
  readonly secret: string;
  /** For one try, from the connection to the end of the answer. */
  readonly timeoutMs: number;
  readonly nowMs: () => number;
}

/** Headers of each request; a contract with receivers. */
export const WEBHOOK_HEADERS = {
  eventId: "sluice-event-id",
  timestamp: "sluice-timestamp",
  signature: "sluice-signature",
} as const;

const ANSWER_BYTES_MAX = 16_384;

/**
 * What a receiver compares: HMAC-SHA256 under the secret over the timestamp's text, a dot, and the body's bytes.
 * @param timestamp seconds since 1970-01-01 UTC, decimal.
 */
export function signatureOf(secret: string, timestamp: string, body: string): string {
  return `v1=${createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex")}`;
}

/** POSTs each notice, signed with the time of the try. Redirects are not followed: they would take the body elsewhere. */
export function openWebhook({ url, secret, timeoutMs, nowMs }: WebhookSettings): Webhook {
  const agent = new Agent({ connections: 1, pipelining: 1, connect: { timeout: timeoutMs } });
  return {
    async send({ eventId, body }): Promise<WebhookAnswer> {
      const timestamp = String(Math.floor(nowMs() / 1000));
      try {
        const answer = await request(url, {
          dispatcher: agent,
          method: "POST",
          headers: {
            "content-type": "application/json",
            "user-agent": "sluice",
            [WEBHOOK_HEADERS.eventId]: eventId,
            [WEBHOOK_HEADERS.timestamp]: timestamp,
            [WEBHOOK_HEADERS.signature]: signatureOf(secret, timestamp, body),
          },
          body,
          signal: AbortSignal.timeout(timeoutMs),
        });
        await answer.body.dump({ limit: ANSWER_BYTES_MAX, signal: AbortSignal.timeout(timeoutMs) });
        const { statusCode } = answer;
        return statusCode >= 200 && statusCode < 300
          ? { kind: "delivered" }
          : { kind: "failed", reason: `status ${String(statusCode)}` };
      } catch (error) {
        return { kind: "failed", reason: reasonOf(error) };
      }
    },
    close: () => agent.destroy(),
  };
}

/** The code, or a short text: nothing that a receiver wrote. */
function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code; // of Node's and undici's errors
  if (typeof code === "string") return code;
  return error instanceof Error && error.name === "TimeoutError" ? "no answer in time" : "no answer";
}
