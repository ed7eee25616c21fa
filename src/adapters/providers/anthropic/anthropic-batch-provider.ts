import type { BatchProvider, FilesReply } from "../../../ports/batch-provider.js";
import { deletedReply, eraseAll, isNotFound } from "../batch-calls.js";
import { BatchHttp } from "../batch-http.js";
import type { BatchSettings } from "../batch-http.js";
import { answerInFormat } from "../batch-line.js";
import { batchResults } from "../batch-results.js";
import { LineSplitter } from "../line-splitter.js";
import { WIRE } from "./anthropic-provider.js";
import { ANTHROPIC_BATCH_RULES } from "./batch-rules.js";
import { anthropicBatches, BATCHES_PATH } from "./batches.js";
import { ANTHROPIC_ID_PATH, fromAnthropicBatchLine } from "./from-batch-line.js";
import { toAnthropicBatchLine } from "./to-batch-line.js";

/** Message batches at Anthropic: lines inside the create call, models mixed, no file and no mark of ours. */
export function createBatch(settings: BatchSettings): BatchProvider {
  const http = new BatchHttp(settings, WIRE);
  const path = http.basePath + BATCHES_PATH;
  return {
    account: settings.account,
    rules: ANTHROPIC_BATCH_RULES,
    encodeLine: (line) => toAnthropicBatchLine(WIRE, line),
    upload: () => noFiles(),
    findFiles: (): Promise<FilesReply> => Promise.resolve({ kind: "files", files: [] }),
    deleteFile: () => noFiles(),
    ...anthropicBatches(http),
    results: (request, limits, signal) =>
      batchResults(
        http,
        {
          pathOf: ({ ref }) => `${path}/${ref}/results`,
          readingOf: () => ({
            splitter: new LineSplitter(settings.resultLineBytesMax),
            readRecord: (text) => fromAnthropicBatchLine(WIRE, text),
            idPath: ANTHROPIC_ID_PATH,
          }),
          isAbsent: isNotFound,
        },
        request,
        limits,
        signal,
      ),
    answerIn: answerInFormat,
    erase: ({ batchId }, limits, signal) =>
      eraseAll([
        async () =>
          deletedReply(
            http,
            await http.call({ method: "DELETE", path: `${path}/${batchId}` }, limits, signal),
            isNotFound,
          ),
      ]),
    close: () => http.close(),
  };
}

/** `rules` say that there are none. */
function noFiles(): Promise<never> {
  return Promise.reject(new RangeError("this provider takes no files: lines go inside the create call"));
}
