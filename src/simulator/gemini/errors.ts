/**
 * The Gemini API's error bodies: google.rpc.Status as JSON, with typed details.
 * Source: providers.md 5.3 and error answers that users reported, read 2026-11-26.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { JsonObject } from "../engine/field-checks.js";
import type { Refusal } from "../engine/refusal.js";
import type { Violation } from "./proto-message.js";

const SERVICE = "generativelanguage.googleapis.com";

/** The canonical word for each HTTP status that this API answers with. */
const STATUS_WORDS: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  405: "UNIMPLEMENTED",
  409: "ALREADY_EXISTS",
  413: "INVALID_ARGUMENT",
  416: "OUT_OF_RANGE",
  429: "RESOURCE_EXHAUSTED",
  499: "CANCELLED",
  500: "INTERNAL",
  501: "UNIMPLEMENTED",
  502: "UNAVAILABLE",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

/** The refusal's type is the canonical word; its status is the HTTP status, which is also the body's code. */
export function geminiError(status: number, message: string, details: readonly JsonObject[] = []): Refusal {
  const plain = { status, type: STATUS_WORDS[status] ?? "UNKNOWN", code: null, param: null, message };
  return details.length === 0 ? plain : { ...plain, details };
}

export function invalidArgument(message: string): Refusal {
  return geminiError(400, message);
}

/** A right request at the wrong moment: a file still being processed, a batch that can't be cancelled any more. */
export function failedPrecondition(message: string): Refusal {
  return { ...geminiError(400, message), type: "FAILED_PRECONDITION" };
}

/** Says what is wrong with a value, in the form of Google's own validator. */
export function invalidField(message: string, path: string, what: string): Refusal {
  return invalidArgument(`* ${message}.${path}: ${what}\n`);
}

export function badRequest(violations: readonly Violation[]): Refusal {
  const fieldViolations = violations.map(({ field, description }) =>
    field === null ? { description } : { field, description },
  );
  const message = violations.map((violation) => violation.description).join("\n");
  return geminiError(400, message, [{ "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations }]);
}

export const NO_KEY: Refusal = geminiError(
  403,
  "Method doesn't allow unregistered callers (callers without established identity). " +
    "Please use API Key or other form of API consumer identity to call this API.",
);

const KEY_NOT_VALID = "API key not valid. Please pass a valid API key.";

/** A key that nobody was given is a wrong argument here, not a 401. */
export const WRONG_KEY: Refusal = geminiError(400, KEY_NOT_VALID, [
  {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    reason: "API_KEY_INVALID",
    domain: "googleapis.com",
    metadata: { service: SERVICE },
  },
  { "@type": "type.googleapis.com/google.rpc.LocalizedMessage", locale: "en-US", message: KEY_NOT_VALID },
]);

/**
 * A quota used up: which one, and when to come back. After one per day nothing helps until the next, whatever the delay says.
 * @param quota what `quotaId` begins with.
 * @param waitMs written as decimal seconds with nine digits.
 */
export function quotaExhausted(quota: string, waitMs: number): Refusal {
  const violation = {
    quotaMetric: `${SERVICE}/generate_content_paid_tier_requests`,
    quotaId: `${quota}PerProjectPerModel`,
    quotaDimensions: { location: "global" },
    quotaValue: "10",
  };
  return geminiError(429, "You exceeded your current quota, please check your plan and billing details.", [
    { "@type": "type.googleapis.com/google.rpc.QuotaFailure", violations: [violation] },
    { "@type": "type.googleapis.com/google.rpc.Help", links: [] },
    { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${(waitMs / 1000).toFixed(9)}s` },
  ]);
}

export function modelNotFound(model: string, method: string): Refusal {
  return geminiError(
    404,
    `models/${model} is not found for API version v1beta, or is not supported for ${method}. ` +
      "Call ListModels to see the list of available models and their supported methods.",
  );
}

/** Of a file that is not there, nobody learns whether it is another's. */
export function fileDenied(id: string): Refusal {
  return geminiError(403, `You do not have permission to access the File ${id} or it may not exist.`);
}

/** google.rpc.Status, as a batch's operation and its result lines carry it; `code` is the HTTP status. */
export function rpcStatus(refusal: Refusal): JsonObject {
  const { status: code, message, type: status, details } = refusal;
  return details === undefined ? { code, message, status } : { code, message, status, details };
}

/** A call's whole body stays below this. */
export const PAYLOAD_BYTES_MAX = 20 * 1024 * 1024;

export function payloadTooLarge(headers: IncomingHttpHeaders): Refusal | null {
  return Number(headers["content-length"] ?? 0) >= PAYLOAD_BYTES_MAX
    ? invalidArgument(`Request payload size exceeds the limit: ${String(PAYLOAD_BYTES_MAX)} bytes.`)
    : null;
}

export function errorBody(refusal: Refusal): Record<string, unknown> {
  return { error: rpcStatus(refusal) };
}
