import { translateAnswer, translateRequest } from "../../domain/format/translate.js";
import type { ProviderError } from "../../domain/failure.js";
import type { RequestFormat } from "../../domain/job/job.js";
import { spokenFormat } from "../../domain/route/format-family.js";
import type { BatchLineRequest, JobBody, LineAnswer, LineFailure, LineOutcome } from "../../ports/batch-provider.js";
import type { ProviderAnswer } from "../../ports/provider.js";
import { onOneLine } from "./batch-payload.js";
import { classifyError, errorWord } from "./error-table.js";
import type { ErrorWords } from "./error-table.js";
import type { WireFormat } from "./wire-format.js";

/** What lines and direct calls have in common: the request inside a line is a direct call's, and so is the answer. */

/** The request of a line, on one line, or why there is none. */
export type LineBody =
  | {
      readonly kind: "carried";
      readonly lineFormat: RequestFormat;
      /** Where a direct call would go, below the base URL. */
      readonly path: string;
      readonly bodyText: string;
    }
  | { readonly kind: "not_carried"; readonly reasons: readonly string[] };

/** @param formats that the provider's batches take. */
export function lineBody(line: BatchLineRequest, wire: WireFormat, formats: readonly RequestFormat[]): LineBody {
  const lineFormat = spokenFormat(line.format, formats);
  const own = lineFormat === null ? undefined : wire.calls[lineFormat];
  if (lineFormat === null || own === undefined) return notCarried(`${wire.label} batches take no ${line.format}`);
  const told = inFormat(line, lineFormat);
  if (told.kind === "not_carried") return told;
  const request = own.toRequest({ ...line, format: lineFormat, bodyText: told.bodyText });
  if (request === null) return notCarried("the job's body is no JSON object");
  return { kind: "carried", lineFormat, path: request.path, bodyText: onOneLine(request.bodyText) };
}

function inFormat(line: BatchLineRequest, lineFormat: RequestFormat): ReturnType<typeof translateRequest> {
  if (line.format === lineFormat) return { kind: "carried", bodyText: line.bodyText };
  return translateRequest(line.format, lineFormat, line.bodyText);
}

export function notCarried(...reasons: readonly string[]): Extract<LineBody, { kind: "not_carried" }> {
  return { kind: "not_carried", reasons };
}

/** It was billed whether the job's format can say it or not. */
export function answerInFormat(job: JobBody, { format, ...answer }: LineAnswer): ProviderAnswer {
  if (job.format === format) return answer;
  const told = translateAnswer(format, job.format, answer.bodyText, job.bodyText);
  return told.kind === "carried"
    ? { ...answer, bodyText: told.bodyText }
    : { ...answer, unfit: told.reasons.join("; ") };
}

/** An answer of status 200 inside a line; `bodyText` is null when the line holds none. */
export function lineAnswer(
  wire: WireFormat,
  lineFormat: RequestFormat,
  bodyText: string | null,
  requestId: string | null,
): LineOutcome {
  const read = bodyText === null ? undefined : wire.calls[lineFormat]?.fromResponse(bodyText);
  if (bodyText === null || read === undefined || "kind" in read) {
    const because = read !== undefined && "kind" in read ? read.because : "no body";
    return unreadableLine(wire, because, requestId);
  }
  return { kind: "answered", format: lineFormat, bodyText, ...read, requestId: requestId ?? read.requestId ?? null };
}

/** It may be charged all the same. */
function unreadableLine(wire: WireFormat, because: string, requestId: string | null): LineFailure {
  return {
    kind: "failed",
    outcome: "bad_response",
    message: `${wire.label} answered the line with ${because}`,
    provider: { status: 200, code: null, requestId },
    billed: "perhaps",
  };
}

/** An error inside a line, by the same table as a direct call's. `status` is that of the call the provider made for the line. */
export function lineError(wire: WireFormat, status: number, words: ErrorWords, requestId: string | null): LineFailure {
  const { outcome, says } = classifyError(wire.errors, status, words);
  const code = errorWord(words.code) ?? errorWord(words.type);
  return failedLine(wire, outcome, says, { status, code, requestId: requestId ?? words.requestId });
}

/** A line that came to no call, or to one whose error is no HTTP status. */
export function failedLine(
  wire: WireFormat,
  outcome: LineFailure["outcome"],
  says: string,
  provider: ProviderError,
): LineFailure {
  const shown = [provider.status, provider.code].filter((part) => part !== null).join(" ");
  const message = `${wire.label} failed the line${shown === "" ? "" : ` (${shown})`}: ${says}`;
  return { kind: "failed", outcome, message, provider, billed: "by_rule" };
}

/** A line that was answered with more than may be read. */
export function tooLongLine(wire: WireFormat, bytesMax: number): LineFailure {
  return {
    kind: "failed",
    outcome: "bad_response",
    message: `${wire.label} answered the line with more than ${String(bytesMax)} bytes`,
    provider: { status: null, code: null, requestId: null },
    billed: "perhaps",
    cutOffBytes: bytesMax,
  };
}
