import type { BatchProvider } from "../../../ports/batch-provider.js";
import { deletedReply, eraseAll, isNotFound, isStatus, timeLeft } from "../batch-calls.js";
import { BatchHttp } from "../batch-http.js";
import type { BatchSettings } from "../batch-http.js";
import { answerInFormat } from "../batch-line.js";
import type { PartReading } from "../batch-records.js";
import { batchResults } from "../batch-results.js";
import { ElementSplitter } from "../element-splitter.js";
import type { HttpReply } from "../http.js";
import { LineSplitter } from "../line-splitter.js";
import { geminiFiles, isMissingFile, sidePath } from "./batch-files.js";
import { GEMINI_BATCH_RULES } from "./batch-rules.js";
import { geminiBatches } from "./batches.js";
import { fromGeminiBatchLine, GEMINI_ID_PATHS } from "./from-batch-line.js";
import { roleOfList } from "./from-operation.js";
import { WIRE } from "./gemini-provider.js";
import { toGeminiBatchLine } from "./to-batch-line.js";

/** Batches at the Gemini API: from a file or inside the create call, answered by a file or inside the operation. */
export function createBatch(settings: BatchSettings): BatchProvider {
  const http = new BatchHttp(settings, WIRE);
  const files = geminiFiles(http);
  const { resultLineBytesMax, answerBytesMax } = settings;
  const inlineSplitter = (): ElementSplitter =>
    new ElementSplitter({ elementBytesMax: resultLineBytesMax, skeletonBytesMax: answerBytesMax, roleOf: roleOfList });
  return {
    account: settings.account,
    rules: GEMINI_BATCH_RULES,
    encodeLine: (line, way) => toGeminiBatchLine(WIRE, line, way),
    ...files,
    ...geminiBatches(http),
    results: (request, limits, signal) => {
      const readRecord: PartReading["readRecord"] = (text) => fromGeminiBatchLine(WIRE, request.lineFormat, text);
      return batchResults(
        http,
        {
          pathOf: ({ part, ref }) =>
            part === "inline" ? `${http.basePath}/${ref}` : `${sidePath(http, "download")}/${ref}:download?alt=media`,
          readingOf: ({ part }) =>
            part === "inline"
              ? { splitter: inlineSplitter(), readRecord, idPath: GEMINI_ID_PATHS.inline }
              : { splitter: new LineSplitter(resultLineBytesMax), readRecord, idPath: GEMINI_ID_PATHS.file },
          isAbsent: (reply) => isMissingFile(http, reply),
        },
        request,
        limits,
        signal,
      );
    },
    answerIn: answerInFormat,
    erase: ({ batchId, fileId, parts }, limits, signal) => {
      const left = timeLeft(limits);
      // Whether a file of results may be deleted is not documented; a no is as good as it gets.
      const isKept = (reply: HttpReply): boolean => isMissingFile(http, reply) || isStatus(reply, 400, 403);
      const remove = (name: string, isAbsent: (reply: HttpReply) => boolean) => async () =>
        deletedReply(
          http,
          await http.call({ method: "DELETE", path: `${http.basePath}/${name}` }, left(), signal),
          isAbsent,
        );
      return eraseAll([
        ...(fileId === null ? [] : [() => files.deleteFile(fileId, left(), signal)]),
        ...parts.filter(({ part }) => part !== "inline").map(({ ref }) => remove(ref, isKept)),
        remove(batchId, isNotFound),
      ]);
    },
    close: () => http.close(),
  };
}
