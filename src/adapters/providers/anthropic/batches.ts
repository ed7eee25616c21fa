import type { BatchCreate, BatchProvider } from "../../../ports/batch-provider.js";
import { isOlderThan } from "../batch-answers.js";
import { cancelReply, getReply, pageOf } from "../batch-calls.js";
import { createReply } from "../batch-http.js";
import type { BatchHttp } from "../batch-http.js";
import { payloadBody } from "../batch-payload.js";
import type { StreamBody } from "../http-stream.js";
import { anthropicFaults, ANTHROPIC_REFUSALS } from "./batch-refusals.js";
import { CREATE_AFTER, CREATE_BEFORE } from "./batch-rules.js";
import { fromAnthropicBatch } from "./from-batch.js";

export const BATCHES_PATH = "/v1/messages/batches";
const PAGE_BATCHES = 100;

/** `/v1/messages/batches`: the create call holds all lines, so that its body is streamed too. */
export function anthropicBatches(http: BatchHttp): Pick<BatchProvider, "create" | "list" | "get" | "cancel"> {
  const path = http.basePath + BATCHES_PATH;
  const get: BatchProvider["get"] = async (batchId, limits, signal) =>
    getReply(http, await http.call({ method: "GET", path: `${path}/${batchId}` }, limits, signal), fromAnthropicBatch);
  return {
    create: async (batch, limits, signal) => {
      const reply = await http.call({ method: "POST", path, body: toCreate(batch) }, limits, signal);
      return createReply(http, reply, {
        refusals: ANTHROPIC_REFUSALS,
        fromBatch: fromAnthropicBatch,
        faultsOf: anthropicFaults,
      });
    },
    list: async ({ sinceMs, after }, limits, signal) => {
      // After means older here: the list begins with the newest.
      const query = `?limit=${String(PAGE_BATCHES)}${after === null ? "" : `&after_id=${after}`}`;
      const reply = await http.call({ method: "GET", path: path + query }, limits, signal);
      const read = http.read(reply, "list of batches", (body) => pageOf(body, "data", fromAnthropicBatch));
      if (read.kind === "failed") return read;
      const { items, hasMore } = read.value;
      const next = hasMore && !isOlderThan(sinceMs, items) ? (items.at(-1)?.batchId ?? null) : null;
      return { kind: "page", batches: items, next };
    },
    get,
    cancel: async (batchId, limits, signal) => {
      const reply = await http.call({ method: "POST", path: `${path}/${batchId}/cancel` }, limits, signal);
      return await cancelReply(http, reply, fromAnthropicBatch, () => get(batchId, limits, signal));
    },
  };
}

function toCreate({ input }: BatchCreate): StreamBody {
  if (input.way !== "inline") throw new RangeError("this provider takes lines inside the create call only");
  return payloadBody({ before: CREATE_BEFORE, after: CREATE_AFTER, separator: "," }, input.lines, input.linesBytes);
}
