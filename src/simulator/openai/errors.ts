/** OpenAI's errors: their shape, their codes for wrong fields, and those of plain faults. */
import type { Problem } from "../engine/field-checks.js";
import type { Refusal } from "../engine/refusal.js";

export function invalid(message: string, param: string | null, code: string | null, status = 400): Refusal {
  return { status, type: "invalid_request_error", code, param, message };
}

function codeOf({ kind, subject = "string" }: Problem): string {
  const isNumber = subject === "integer" || subject === "decimal";
  switch (kind) {
    case "missing":
      return "missing_required_parameter";
    case "unknown":
      return "unknown_parameter";
    case "type":
      return "invalid_type";
    case "value":
      return "invalid_value";
    case "empty":
      return `empty_${subject}`;
    case "too_small":
      return `${subject}_below_min_${isNumber ? "value" : "length"}`;
    case "too_large":
      return `${subject}_above_max_${isNumber ? "value" : "length"}`;
  }
}

function paramOf(path: Problem["path"]): string {
  let param = "";
  for (const segment of path)
    param += typeof segment === "number" ? `[${String(segment)}]` : param === "" ? segment : `.${segment}`;
  return param;
}

/** What is said about a field that did not pass. */
export function refusalOf(problem: Problem): Refusal {
  const param = paramOf(problem.path);
  const code = codeOf(problem);
  if (param === "") return invalid(`The body must be ${problem.expected}.`, null, code);
  if (problem.kind === "missing") return invalid(`Missing required parameter: '${param}'.`, param, code);
  if (problem.kind === "unknown") return invalid(`Unknown parameter: '${param}'.`, param, code);
  return invalid(`Invalid '${param}': expected ${problem.expected}.`, param, code);
}

/** Source: OpenAI's error code guide, read 2026-11-24. */
const STATUS_ERRORS: Readonly<Record<number, { readonly type: string; readonly code: string | null }>> = {
  401: { type: "invalid_request_error", code: "invalid_api_key" },
  403: { type: "invalid_request_error", code: null },
  429: { type: "requests", code: "rate_limit_exceeded" },
  500: { type: "server_error", code: null },
  502: { type: "server_error", code: null },
  503: { type: "service_unavailable_error", code: "server_is_overloaded" },
  504: { type: "server_error", code: null },
};

export function refusalFor(status: number, message: string): Refusal {
  const known = STATUS_ERRORS[status];
  return { status, type: known?.type ?? "invalid_request_error", code: known?.code ?? null, param: null, message };
}

export function modelNotFound(model: string): Refusal {
  return invalid(`The model '${model}' does not exist or you do not have access to it.`, null, "model_not_found", 404);
}

export function errorBody(refusal: Refusal): Record<string, unknown> {
  return { error: { message: refusal.message, type: refusal.type, param: refusal.param, code: refusal.code } };
}
