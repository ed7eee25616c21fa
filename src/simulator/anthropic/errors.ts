/** Anthropic's errors: their shape, what is said about wrong fields, and those of plain faults. */
import { isObject } from "../engine/field-checks.js";
import type { Problem } from "../engine/field-checks.js";
import type { Refusal } from "../engine/refusal.js";

export function refuse(status: number, type: string, message: string): Refusal {
  return { status, type, code: null, param: null, message };
}

export function invalid(message: string): Refusal {
  return refuse(400, "invalid_request_error", message);
}

/** What is said about a field that did not pass. */
export function refusalOf(problem: Problem): Refusal {
  const path = problem.path.length === 0 ? "body" : problem.path.join(".");
  if (problem.kind === "missing") return invalid(`${path}: Field required`);
  if (problem.kind === "unknown") return invalid(`${path}: Extra inputs are not permitted`);
  return invalid(`${path}: Input should be ${problem.expected}`);
}

/** Source: Anthropic's page on errors, read 2026-11-24. */
const STATUS_TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  409: "conflict_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  502: "api_error",
  503: "api_error",
  504: "timeout_error",
  529: "overloaded_error",
};

export function refusalFor(status: number, message: string): Refusal {
  return refuse(status, STATUS_TYPES[status] ?? "invalid_request_error", message);
}

/** The error as a body, and as a line of a batch's results carries it. `details` is left out when there are none. */
export function errorBody({ type, message, details }: Refusal, requestId: string): Record<string, unknown> {
  const error = isObject(details) ? { type, message, details } : { type, message };
  return { type: "error", error, request_id: requestId };
}
