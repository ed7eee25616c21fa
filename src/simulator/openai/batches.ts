/** OpenAI's batches: create, list, show, cancel. Source: API specification of 2026-08-21, read 2026-11-24. */
import type { BatchState } from "../engine/batch-api.js";
import type { BatchView } from "../engine/batch-engine.js";
import { integer, isObject, mapOf, oneOf, orNull, shape, text } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { StoredFile } from "../engine/file-store.js";
import { LineReader } from "../engine/line-reader.js";
import type { EngineParts, Operation, OperationAnswer, OperationCall } from "../engine/operation.js";
import type { Refusal } from "../engine/refusal.js";
import { BATCH_ENDPOINTS, openaiBatchApi } from "./batch-lines.js";
import { invalid, refusalFor, refusalOf } from "./errors.js";
import { seconds } from "./files.js";
import { listQuery, page } from "./pages.js";

const LIST_MAX = 100;
const LIST_DEFAULT = 20;

/** Known endpoints that the simulator does not run: refused aloud. */
const NOT_SIMULATED: ReadonlySet<string> = new Set([
  "/v1/completions",
  "/v1/images/edits",
  "/v1/images/generations",
  "/v1/moderations",
  "/v1/responses",
  "/v1/videos",
]);

const BODY = shape(
  { input_file_id: text(1), endpoint: text(1), completion_window: oneOf("24h") },
  {
    metadata: orNull(mapOf(text(0, 512), 16, 64)),
    output_expires_after: shape({ anchor: oneOf("created_at"), seconds: integer(3600, 2_592_000) }),
  },
);

const WORDS: Readonly<Record<BatchState, string>> = {
  validating: "validating",
  in_progress: "in_progress",
  finalizing: "finalizing",
  completed: "completed",
  failed: "failed",
  expired: "expired",
  cancelling: "cancelling",
  cancelled: "cancelled",
};

function orNullSeconds(ms: number | null): number | null {
  return ms === null ? null : seconds(ms);
}

/** A batch as callers see it. */
function batchObject(batch: BatchView): Record<string, unknown> {
  const { times, counts, usage, problems, details } = batch;
  const errors =
    problems.length === 0
      ? null
      : { object: "list", data: problems.map(({ code, line, message, param }) => ({ code, line, message, param })) };
  return {
    id: batch.id,
    object: "batch",
    endpoint: details["endpoint"],
    model: batch.model,
    errors,
    input_file_id: details["inputFileId"],
    completion_window: "24h",
    status: batch.strangeState ?? WORDS[batch.state],
    output_file_id: batch.outputFile,
    error_file_id: batch.errorFile,
    created_at: seconds(times.createdMs),
    in_progress_at: orNullSeconds(times.inProgressMs),
    expires_at: seconds(times.expiresMs),
    finalizing_at: orNullSeconds(times.finalizingMs),
    completed_at: orNullSeconds(times.completedMs),
    failed_at: orNullSeconds(times.failedMs),
    expired_at: orNullSeconds(times.expiredMs),
    cancelling_at: orNullSeconds(times.cancellingMs),
    cancelled_at: orNullSeconds(times.cancelledMs),
    // Lines that never ran are not counted as failed.
    request_counts: { total: batch.total, completed: counts.succeeded, failed: counts.failed },
    usage: {
      input_tokens: usage.inputTokens,
      input_tokens_details: { cached_tokens: usage.cachedInputTokens },
      output_tokens: usage.outputTokens,
      output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
      total_tokens: usage.inputTokens + usage.outputTokens,
    },
    metadata: details["metadata"] ?? null,
  };
}

function endpointRefusal(endpoint: string): Refusal | null {
  if (BATCH_ENDPOINTS.has(endpoint)) return null;
  if (NOT_SIMULATED.has(endpoint))
    return invalid(`Batches for '${endpoint}' are not simulated.`, "endpoint", "unsupported_value");
  const known = [...BATCH_ENDPOINTS.keys(), ...NOT_SIMULATED].sort().join("', '");
  return invalid(`Invalid value: '${endpoint}'. Supported values are: '${known}'.`, "endpoint", "invalid_value");
}

function unknownBatch(id: string): { readonly refusal: Refusal } {
  return { refusal: invalid(`No batch found with id '${id}'.`, null, null, 404) };
}

export class OpenAiBatches {
  readonly #parts: EngineParts;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  operations(): readonly Operation[] {
    const one = "/v1/batches/{batch}";
    return [
      {
        name: "openai.batches.create",
        method: "POST",
        path: "/v1/batches",
        body: "json",
        handle: (call) => this.#create(call),
      },
      {
        name: "openai.batches.list",
        method: "GET",
        path: "/v1/batches",
        body: "none",
        handle: (call) => this.#list(call),
      },
      { name: "openai.batches.get", method: "GET", path: one, body: "none", handle: (call) => this.#get(call) },
      {
        name: "openai.batches.cancel",
        method: "POST",
        path: `${one}/cancel`,
        body: "optional_json",
        handle: (call) => this.#cancel(call),
      },
    ];
  }

  #create(call: OperationCall): OperationAnswer {
    const problem = BODY(call.body);
    if (problem !== null) return { refusal: refusalOf(problem) };
    if (!isObject(call.body)) return { refusal: refusalFor(400, "The body must be an object.") };
    const { body, account } = { body: call.body, account: call.account };
    const endpoint = String(body["endpoint"]);
    const wrongEndpoint = endpointRefusal(endpoint);
    if (wrongEndpoint !== null) return { refusal: wrongEndpoint };
    const fileId = String(body["input_file_id"]);
    const input = this.#parts.files.find("openai", account, fileId);
    if (input?.listed !== true) return { refusal: invalid(`No such File object: ${fileId}`, "input_file_id", null) };
    if (input.details["purpose"] !== "batch")
      return { refusal: invalid(`The file ${fileId} has not the purpose 'batch'.`, "input_file_id", null) };
    if (!this.#parts.limits.takeBatchCreate(account, this.#parts.clock.now()))
      return { refusal: refusalFor(429, "Too many batches were created in an hour.") };
    return { status: 200, json: batchObject(this.#order(call, body, input)) };
  }

  #order(call: OperationCall, body: JsonObject, input: StoredFile): BatchView {
    const { batches, files } = this.#parts;
    const outputExpiry = body["output_expires_after"];
    return batches.create({
      api: openaiBatchApi,
      account: call.account,
      id: batches.newId("batch_"),
      operation: "openai.batches.create",
      path: "/v1/batches",
      model: firstModel(files.pathOf(input)),
      input,
      lines: null,
      details: {
        endpoint: body["endpoint"],
        inputFileId: input.id,
        metadata: body["metadata"] ?? null,
        outputKeptMs: isObject(outputExpiry) ? Number(outputExpiry["seconds"]) * 1000 : null,
      },
    });
  }

  #list(call: OperationCall): OperationAnswer {
    const query = listQuery(call.query, { limitMax: LIST_MAX, limit: LIST_DEFAULT });
    if ("refusal" in query) return query;
    return page(this.#parts.batches.list("openai", call.account), query, batchObject);
  }

  #get(call: OperationCall): OperationAnswer {
    const id = call.params["batch"] ?? "";
    const batch = this.#parts.batches.find("openai", call.account, id);
    return batch === null ? unknownBatch(id) : { status: 200, json: batchObject(batch) };
  }

  #cancel(call: OperationCall): OperationAnswer {
    const id = call.params["batch"] ?? "";
    if (call.body !== undefined) {
      const problem = NOTHING(call.body);
      if (problem !== null) return { refusal: refusalOf(problem) };
    }
    const batch = this.#parts.batches.cancel("openai", call.account, id);
    if (batch === null) return unknownBatch(id);
    if (batch !== "final") return { status: 200, json: batchObject(batch) };
    const state = this.#parts.batches.find("openai", call.account, id)?.state ?? "completed";
    return { refusal: invalid(`Cannot cancel a batch with status '${state}'.`, null, null) };
  }
}

const NOTHING = shape({}, {});

/** The model that the first line names; "" when it names none. */
function firstModel(path: string): string {
  const reader = new LineReader(path);
  const first = reader.next();
  reader.close();
  try {
    const line: unknown = first === null ? null : JSON.parse(first);
    const body = isObject(line) ? line["body"] : null;
    const model = isObject(body) ? body["model"] : null;
    return typeof model === "string" ? model : "";
  } catch {
    return "";
  }
}
