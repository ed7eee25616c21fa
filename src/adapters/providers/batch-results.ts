import type { ResultPart } from "../../domain/batch/provider-batch.js";
import type { CallLimits, ResultItem, ResultsRequest } from "../../ports/batch-provider.js";
import type { BatchHttp } from "./batch-http.js";
import { timeLeft } from "./batch-calls.js";
import { tooLongLine } from "./batch-line.js";
import { readResults } from "./batch-records.js";
import type { OpenPart, PartReading } from "./batch-records.js";
import { headerOf } from "./http.js";
import type { HttpHeaders, HttpReply } from "./http.js";

/** Where one provider's results lie and how they are read. */
export interface ResultsApi {
  /** Below the origin. */
  pathOf(part: ResultPart): string;
  /** A new one for each read of the part. */
  readingOf(part: ResultPart): PartReading;
  isAbsent(reply: HttpReply): boolean;
}

/** The results of an ended batch over HTTP, see `BatchProvider.results`. */
export function batchResults(
  http: BatchHttp,
  api: ResultsApi,
  request: Pick<ResultsRequest, "parts" | "cursor">,
  limits: CallLimits,
  signal: AbortSignal,
): AsyncIterable<ResultItem> {
  const left = timeLeft(limits);
  const open = async (index: number): Promise<OpenPart> => {
    const part = request.parts[index];
    if (part === undefined) throw new RangeError(`there is no part ${String(index)}`);
    return await openPart(http, api, part, left(), signal);
  };
  const tooLong = tooLongLine(http.wire, http.settings.resultLineBytesMax);
  return readResults({ partCount: request.parts.length, open, tooLong }, request.cursor);
}

async function openPart(
  http: BatchHttp,
  api: ResultsApi,
  part: ResultPart,
  limits: CallLimits,
  signal: AbortSignal,
): Promise<OpenPart> {
  const headers = ["accept", "*/*"]; // the answer's type is JSON lines, by one name or another
  const answer = await http.open({ method: "GET", path: api.pathOf(part), headers }, limits, signal);
  if (answer.kind === "broken") return { kind: "broken", failure: http.failureOf(answer) };
  if (answer.status !== 200) {
    const reply = await http.whole(answer);
    return { kind: api.isAbsent(reply) ? "gone" : "broken", failure: http.failureOf(reply) };
  }
  const because = problemOfHead(answer.headers);
  if (because !== null) {
    answer.body.cancel();
    const head = { ...answer, kind: "answer", bodyText: null, problem: null } as const;
    return { kind: "broken", failure: http.unusable(head, because) };
  }
  const { body } = answer;
  const failure = () => http.failureOf(body.broken ?? { ...answer, kind: "answer", bodyText: null, problem: null });
  return { kind: "open", body, reading: api.readingOf(part), failure };
}

/** What comes in place of a file when something in between answers. */
function problemOfHead(headers: HttpHeaders): string | null {
  const encoding = headerOf(headers, "content-encoding");
  if (encoding !== null && encoding !== "identity") return "a compressed body, though none was asked for";
  return /^\s*text\/html/i.test(headerOf(headers, "content-type") ?? "") ? "a page in the place of results" : null;
}
