import type { BatchCreate, BatchProvider } from "../../../ports/batch-provider.js";
import { isOlderThan } from "../batch-answers.js";
import { cancelReply, getReply, pageOf } from "../batch-calls.js";
import { createReply } from "../batch-http.js";
import type { BatchHttp } from "../batch-http.js";
import { OPENAI_REFUSALS } from "./batch-refusals.js";
import { fromOpenaiBatch, MARK_KEY } from "./from-batch.js";
import { endpointOf } from "./to-batch-line.js";

const PAGE_BATCHES = 100;

/** `/batches`: made of an uploaded file, marked by a pair of metadata. */
export function openaiBatches(http: BatchHttp): Pick<BatchProvider, "create" | "list" | "get" | "cancel"> {
  const path = `${http.basePath}/batches`;
  const get: BatchProvider["get"] = async (batchId, limits, signal) =>
    getReply(http, await http.call({ method: "GET", path: `${path}/${batchId}` }, limits, signal), fromOpenaiBatch);
  return {
    create: async (batch, limits, signal) => {
      const reply = await http.call({ method: "POST", path, body: toCreate(batch) }, limits, signal);
      return createReply(http, reply, { refusals: OPENAI_REFUSALS, fromBatch: fromOpenaiBatch, faultsOf: () => [] });
    },
    list: async ({ sinceMs, after }, limits, signal) => {
      const query = `?limit=${String(PAGE_BATCHES)}${after === null ? "" : `&after=${after}`}`;
      const reply = await http.call({ method: "GET", path: path + query }, limits, signal);
      const read = http.read(reply, "list of batches", (body) => pageOf(body, "data", fromOpenaiBatch));
      if (read.kind === "failed") return read;
      const { items, hasMore } = read.value;
      const next = hasMore && !isOlderThan(sinceMs, items) ? (items.at(-1)?.batchId ?? null) : null;
      return { kind: "page", batches: items, next };
    },
    get,
    cancel: async (batchId, limits, signal) => {
      const reply = await http.call({ method: "POST", path: `${path}/${batchId}/cancel` }, limits, signal);
      return await cancelReply(http, reply, fromOpenaiBatch, () => get(batchId, limits, signal));
    },
  };
}

function toCreate({ mark, lineFormat, input }: BatchCreate): string {
  if (input.way !== "file") throw new RangeError("this provider takes lines in a file only");
  return JSON.stringify({
    input_file_id: input.fileId,
    endpoint: endpointOf(lineFormat),
    completion_window: "24h",
    metadata: { [MARK_KEY]: mark },
  });
}
