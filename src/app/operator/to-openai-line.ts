import { topLevelMembers } from "../../domain/route/top-level-members.js";

/**
 * Results in the shape of the lines of OpenAI's two result files, for programs that read those: what was served has a response of status 200;
 * what a provider refused, a response of its status with an error in the body; all else an error and no response.
 * Source: OpenAI's API reference, "The request output object" of batches, and lines of error files as users report them, read 2026-11-26.
 */

type Fields = Readonly<Record<string, unknown>>;

/** Our codes in the words of OpenAI's error files, where those have one. */
const NEVER_RAN: Readonly<Record<string, string>> = { expired: "batch_expired", cancelled: "batch_cancelled" };
const HTTP_REFUSALS_FROM = 400;

/**
 * @param text a result's value, in JSON or as the fields of its Avro schema.
 * @throws Error when it is no result.
 */
export function openaiLineOf(text: string): string {
  const result = fieldsOf(JSON.parse(text));
  if (result === null || typeof result["jobId"] !== "string")
    throw new Error("expected a result with a jobId; is this topic one of results?");
  const head = JSON.stringify({ id: result["resultId"] ?? null, custom_id: result["jobId"] });
  return `${head.slice(0, -1)},${result["status"] === "succeeded" ? servedOf(text, result) : failedOf(result)}}`;
}

function servedOf(text: string, result: Fields): string {
  const requestId = JSON.stringify(requestIdOf(result));
  return `"response":{"status_code":200,"request_id":${requestId},"body":${bodyText(text, result)}},"error":null`;
}

/** The answer as it was published: parsing and writing it again could change numbers. */
function bodyText(text: string, result: Fields): string {
  if (typeof result["bodyJson"] === "string") return result["bodyJson"];
  const member = topLevelMembers(text)?.findLast(({ name }) => name === "body");
  return member === undefined ? "null" : text.slice(member.valueStart, member.end);
}

/** The provider's id of the call that served it, else of the last one. */
function requestIdOf(result: Fields): string | null {
  const listed: unknown =
    typeof result["attemptsJson"] === "string" ? JSON.parse(result["attemptsJson"]) : result["attempts"];
  const attempts = Array.isArray(listed) ? listed.map(fieldsOf).filter((attempt) => attempt !== null) : [];
  const serving = attempts.findLast((attempt) => attempt["outcome"] === "succeeded") ?? attempts.at(-1);
  return textOrNull(serving?.["providerRequestId"]);
}

function failedOf(result: Fields): string {
  const { code, message, status, providerCode, errorClass, requestId } = errorOf(result);
  if (status === null || status < HTTP_REFUSALS_FROM) {
    const error = { code: NEVER_RAN[String(result["status"])] ?? code, message };
    return `"response":null,"error":${JSON.stringify(error)}`;
  }
  const error = { message, type: errorClass, param: null, code: providerCode ?? code };
  const response = { status_code: status, request_id: requestId, body: { error } };
  return `"response":${JSON.stringify(response)},"error":null`;
}

interface ErrorFields {
  readonly code: string | null;
  readonly errorClass: string | null;
  readonly message: string | null;
  readonly status: number | null;
  readonly providerCode: string | null;
  readonly requestId: string | null;
}

function errorOf(result: Fields): ErrorFields {
  const error = fieldsOf(result["error"]);
  const provider = fieldsOf(error?.["provider"]);
  const status = provider?.["status"] ?? result["errorProviderStatus"];
  return {
    code: textOrNull(error?.["code"] ?? result["errorCode"]),
    errorClass: textOrNull(error?.["class"] ?? result["errorClass"]),
    message: textOrNull(error?.["message"] ?? result["errorMessage"]),
    status: typeof status === "number" ? status : null,
    providerCode: textOrNull(provider?.["code"] ?? result["errorProviderCode"]),
    requestId: textOrNull(provider?.["requestId"] ?? result["errorProviderRequestId"]) ?? requestIdOf(result),
  };
}

function fieldsOf(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null; // an object that JSON.parse made
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
