import type { BatchCreate, BatchProvider, CallLimits, SendLimits } from "../../../ports/batch-provider.js";
import type { ProviderBatch } from "../../../domain/batch/provider-batch.js";
import { isOlderThan } from "../batch-answers.js";
import { cancelReply, getReply } from "../batch-calls.js";
import { createReply } from "../batch-http.js";
import type { BatchHttp, BatchRequest } from "../batch-http.js";
import { payloadBody } from "../batch-payload.js";
import { ElementSplitter } from "../element-splitter.js";
import type { HttpReply } from "../http.js";
import type { StreamBody } from "../http-stream.js";
import { isJsonObject, textIn } from "../json-object.js";
import type { JsonObject } from "../json-object.js";
import { GEMINI_REFUSALS, geminiFaults } from "./batch-refusals.js";
import { CREATE_AFTER, createBefore } from "./batch-rules.js";
import { fromGeminiOperation, roleOfList } from "./from-operation.js";
import { modelPath } from "./model-path.js";

const PAGE_BATCHES = 100;

/** Batches as long-running operations, marked by their display name; a create repeated makes a second one. */
export function geminiBatches(http: BatchHttp): Pick<BatchProvider, "create" | "list" | "get" | "cancel"> {
  const get: BatchProvider["get"] = async (batchId, limits, signal) => {
    const reply = await callForOperation(http, { method: "GET", path: `${http.basePath}/${batchId}` }, limits, signal);
    return getReply(http, reply, fromGeminiOperation);
  };
  return {
    create: async (batch, limits, signal) => {
      const request = { method: "POST", path: http.basePath + createPath(batch), body: toCreate(batch) } as const;
      const reply = await callForOperation(http, request, limits, signal);
      return createReply(http, reply, {
        refusals: GEMINI_REFUSALS,
        fromBatch: fromGeminiOperation,
        faultsOf: geminiFaults,
      });
    },
    list: async ({ sinceMs, after }, limits, signal) => {
      const token = after === null ? "" : `&pageToken=${encodeURIComponent(after)}`;
      const path = `${http.basePath}/batches?pageSize=${String(PAGE_BATCHES)}${token}`;
      const read = http.read(
        await http.call({ method: "GET", path }, limits, signal),
        "list of batches",
        pageOfOperations,
      );
      if (read.kind === "failed") return read;
      const { batches, next } = read.value;
      return { kind: "page", batches, next: isOlderThan(sinceMs, batches) ? null : next };
    },
    get,
    cancel: async (batchId, limits, signal) => {
      const path = `${http.basePath}/${batchId}:cancel`;
      const reply = await http.call({ method: "POST", path, body: "{}" }, limits, signal);
      return await cancelReply(http, reply, fromGeminiOperation, () => get(batchId, limits, signal));
    },
  };
}

/** The answer with its inline results, or the requests that it repeats, left out while they stream by. */
async function callForOperation(
  http: BatchHttp,
  request: BatchRequest,
  limits: CallLimits | SendLimits,
  signal: AbortSignal,
): Promise<HttpReply> {
  const answer = await http.open(request, limits, signal);
  if (answer.kind === "broken") return answer;
  if (answer.status !== 200) return await http.whole(answer);
  const { status, headers, body } = answer;
  const splitter = new ElementSplitter({
    elementBytesMax: 0,
    skeletonBytesMax: http.settings.answerBytesMax,
    roleOf: roleOfList,
  });
  for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) splitter.push(chunk);
  if (body.broken !== null) return body.broken;
  const skeleton = splitter.skeleton();
  return { kind: "answer", status, headers, bodyText: skeleton, problem: skeleton === null ? "too_long" : null };
}

function createPath({ lineFormat, model }: BatchCreate): string {
  if (model === null) throw new RangeError("a batch of this provider has one model");
  return modelPath(model, lineFormat === "gemini.embed" ? "asyncBatchEmbedContent" : "batchGenerateContent");
}

function toCreate({ mark, input }: BatchCreate): string | StreamBody {
  if (input.way === "file")
    return JSON.stringify({ batch: { displayName: mark, inputConfig: { fileName: input.fileId } } });
  const payload = { before: createBefore(mark), after: CREATE_AFTER, separator: "," } as const;
  return payloadBody(payload, input.lines, input.linesBytes);
}

function pageOfOperations(
  body: JsonObject,
): { readonly batches: readonly ProviderBatch[]; readonly next: string | null } | null {
  const operations = body["operations"] ?? []; // an empty list is left out
  if (!Array.isArray(operations)) return null;
  const next = textIn(body, "nextPageToken");
  const batches = operations.filter(isJsonObject).flatMap((one) => fromGeminiOperation(one) ?? []);
  return { batches, next: next === "" ? null : next };
}
