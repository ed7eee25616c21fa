import type { BatchProvider } from "../../../ports/batch-provider.js";
import { eraseAll, isNotFound, timeLeft } from "../batch-calls.js";
import { BatchHttp } from "../batch-http.js";
import type { BatchSettings } from "../batch-http.js";
import { answerInFormat } from "../batch-line.js";
import { batchResults } from "../batch-results.js";
import { LineSplitter } from "../line-splitter.js";
import { openaiFiles } from "./batch-files.js";
import { OPENAI_BATCH_RULES } from "./batch-rules.js";
import { openaiBatches } from "./batches.js";
import { fromOpenaiBatchLine, OPENAI_ID_PATH } from "./from-batch-line.js";
import { toOpenaiBatchLine } from "./to-batch-line.js";
import { WIRE } from "./openai-provider.js";

/** Batches at OpenAI: a file up, a batch of it, up to two files down. */
export function createBatch(settings: BatchSettings): BatchProvider {
  const http = new BatchHttp(settings, WIRE);
  const files = openaiFiles(http);
  return {
    account: settings.account,
    rules: OPENAI_BATCH_RULES,
    encodeLine: (line) => toOpenaiBatchLine(WIRE, line),
    ...files,
    ...openaiBatches(http),
    results: (request, limits, signal) =>
      batchResults(
        http,
        {
          pathOf: ({ ref }) => `${http.basePath}/files/${ref}/content`,
          readingOf: () => ({
            splitter: new LineSplitter(settings.resultLineBytesMax),
            readRecord: (text) => fromOpenaiBatchLine(WIRE, request.lineFormat, text),
            idPath: OPENAI_ID_PATH,
          }),
          isAbsent: isNotFound,
        },
        request,
        limits,
        signal,
      ),
    answerIn: answerInFormat,
    // A batch itself can't be deleted here; without its files nothing of its content is left.
    erase: ({ fileId, parts }, limits, signal) => {
      const left = timeLeft(limits);
      const ids = [...(fileId === null ? [] : [fileId]), ...parts.map(({ ref }) => ref)];
      return eraseAll(ids.map((id) => () => files.deleteFile(id, left(), signal)));
    },
    close: () => http.close(),
  };
}
