import { readResults } from "../../src/adapters/providers/batch-records.js";
import type { PartReading, ResultSource } from "../../src/adapters/providers/batch-records.js";
import { tooLongLine } from "../../src/adapters/providers/batch-line.js";
import type { HttpReply } from "../../src/adapters/providers/http.js";
import { IncomingBody } from "../../src/adapters/providers/incoming-body.js";
import { LineSplitter } from "../../src/adapters/providers/line-splitter.js";
import { fromOpenaiBatchLine, OPENAI_ID_PATH } from "../../src/adapters/providers/openai/from-batch-line.js";
import { WIRE } from "../../src/adapters/providers/openai/openai-provider.js";
import type { ResultsCursor } from "../../src/domain/batch/provider-batch.js";
import type { BatchCallFailure, ResultItem } from "../../src/ports/batch-provider.js";

/** Parts of results as bytes in memory, handed out in chunks of any size: what a test sees of reading them is what a socket would show. */

export interface FakePart {
  readonly bytes: Buffer;
  /** Sizes of the chunks, used in turn; the rest comes at once. */
  readonly chunks?: readonly number[];
  /** The connection breaks after so many bytes. */
  readonly breaksAfter?: number;
  readonly gone?: boolean;
}

export const LINE_BYTES_MAX = 400;

const failure = (message: string): BatchCallFailure => ({
  kind: "failed",
  outcome: "connection_failed",
  sent: "perhaps",
  message,
  retryAfterMs: null,
  provider: { status: null, code: null, requestId: null },
});

const BROKEN: Extract<HttpReply, { readonly kind: "broken" }> = {
  kind: "broken",
  because: "connection",
  sent: "perhaps",
  status: 200,
  headers: {},
  receivedBytes: 0,
  errorCode: null,
};

function bodyOf({ bytes, chunks = [], breaksAfter = bytes.length }: FakePart): IncomingBody {
  const nothing = (): void => undefined;
  const body = new IncomingBody({ pause: nothing, resume: nothing, cancel: nothing });
  let at = 0;
  for (const size of [...chunks, bytes.length]) {
    const end = Math.min(at + size, breaksAfter);
    if (end > at) body.push(bytes.subarray(at, end));
    at = Math.max(at, end);
  }
  body.end(breaksAfter < bytes.length ? BROKEN : null);
  return body;
}

const openaiReading = (): PartReading => ({
  splitter: new LineSplitter(LINE_BYTES_MAX),
  readRecord: (text) => fromOpenaiBatchLine(WIRE, "openai.chat", text),
  idPath: OPENAI_ID_PATH,
});

/** All items of reading the parts from the cursor on. */
export async function itemsOf(
  parts: readonly FakePart[],
  cursor: ResultsCursor | null = null,
  reading: () => PartReading = openaiReading,
): Promise<readonly ResultItem[]> {
  const source: ResultSource = {
    partCount: parts.length,
    open: (index) => {
      const part = parts[index]!;
      if (part.gone === true) return Promise.resolve({ kind: "gone", failure: failure("gone") });
      return Promise.resolve({
        kind: "open",
        body: bodyOf(part),
        reading: reading(),
        failure: () => failure("broke off"),
      });
    },
    tooLong: tooLongLine(WIRE, LINE_BYTES_MAX),
  };
  const items: ResultItem[] = [];
  for await (const item of readResults(source, cursor)) items.push(item);
  return items;
}

/** A line of OpenAI's results that answers with this text. */
export function answeredLine(customId: string, text: string): string {
  const body = { model: "m", choices: [{ message: { content: text }, finish_reason: "stop" }], usage: {} };
  return JSON.stringify({ custom_id: customId, response: { status_code: 200, body }, error: null });
}
