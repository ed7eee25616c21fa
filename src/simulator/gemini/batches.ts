/**
 * Gemini's batch mode: a batch is a long-running operation, made from requests sent inline or from a file of lines.
 *
 * Source: providers.md 5.5, the batch API reference of v1beta and operations as users recorded them
 * (flachesis/gemini-rust #13), read 2026-11-26. The answer to cancelling a finished batch is the simulator's own choice.
 */
import { readFileSync } from "node:fs";
import type { BatchApi, BatchDetails, BatchProblem, InputProblem, LineOutcome } from "../engine/batch-api.js";
import type { BatchView } from "../engine/batch-engine.js";
import type { DirectOperation } from "../engine/direct-operation.js";
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { StoredFile } from "../engine/file-store.js";
import type { EngineParts, Operation, OperationAnswer, OperationCall } from "../engine/operation.js";
import type { Refusal } from "../engine/refusal.js";
import { endedMs, errorOf, operationError, stateWord, statsJson, updatedMs } from "./batch-operation.js";
import { embedContent } from "./embed-content.js";
import {
  badRequest,
  failedPrecondition,
  fileDenied,
  geminiError,
  invalidArgument,
  invalidField,
  modelNotFound,
  payloadTooLarge,
  quotaExhausted,
  rpcStatus,
} from "./errors.js";
import { isActive, timestamp } from "./file-json.js";
import { generateContent } from "./generate-content.js";
import { objectAt, objectsAt, textAt } from "./json-reading.js";
import { nextPage, readPage, withParameters } from "./pages.js";
import { readProto } from "./proto-message.js";
import type { ProtoMessage } from "./proto-message.js";
import { EMBED_BATCH_REQUEST, EMBED_LINE, GENERATE_BATCH_REQUEST, GENERATE_LINE } from "./request-fields.js";

const HOUR_MS = 3_600_000;
const WINDOW_MS = 48 * HOUR_MS;
/** No number of requests is documented; the engine wants one. */
const LINES_MAX = 10_000_000;
/** Not documented; about six weeks by what users saw. */
const RESULTS_KEPT_MS = 42 * 24 * HOUR_MS;
const UNFINISHED_MAX = 100;
const PAGE_SIZE = 10;
const PAGE_SIZE_MAX = 1000;
const TYPES = "type.googleapis.com/google.ai.generativelanguage.v1main";
const BATCH_PATH = "/v1beta/batches/{batch}";

/** What differs between batches of texts and of embeddings. */
type Kind = {
  readonly name: "GenerateContent" | "EmbedContent";
  readonly method: "batchGenerateContent" | "asyncBatchEmbedContent";
  readonly capability: "chat" | "embeddings";
  readonly direct: DirectOperation;
  readonly batch: ProtoMessage;
  readonly line: ProtoMessage;
};

const GENERATE: Kind = {
  name: "GenerateContent",
  method: "batchGenerateContent",
  capability: "chat",
  direct: generateContent,
  batch: GENERATE_BATCH_REQUEST,
  line: GENERATE_LINE,
};
const EMBED: Kind = {
  name: "EmbedContent",
  method: "asyncBatchEmbedContent",
  capability: "embeddings",
  direct: embedContent,
  batch: EMBED_BATCH_REQUEST,
  line: EMBED_LINE,
};

/** The model, as the address named it, that all requests of the batch go to. */
function modelOf(details: BatchDetails): string {
  return typeof details["model"] === "string" ? details["model"] : "";
}

/** The kind of a batch that exists. */
function kindOf(details: BatchDetails): Kind {
  return details["kind"] === EMBED.name ? EMBED : GENERATE;
}

function isInline(details: BatchDetails): boolean {
  return details["fileName"] === undefined;
}

type LineRead = ReturnType<BatchApi["readLine"]>;

function badLine(customId: string | null, refusal: Refusal): LineRead {
  const problem = { code: refusal.type, message: refusal.message, param: null };
  return { unreadable: { customId, refusal, problem } };
}

/** A line of a file, or a request that came inline: both have the same shape on disk. */
function readLine(text: string, details: BatchDetails): LineRead {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return badLine(null, invalidArgument("Invalid JSON payload received. The line can't be parsed."));
  }
  if (!isObject(line)) return badLine(null, invalidArgument("Invalid JSON payload received. Expected an object."));
  const key = textAt(line, "key");
  const kind = kindOf(details);
  const read = readProto(kind.line, line);
  if ("violations" in read) return badLine(key, badRequest(read.violations));
  if (key === null) return badLine(null, invalidField("BatchRequest", "key", "key is not specified"));
  const request = objectAt(line, "request");
  if (request === null) return badLine(key, invalidField("BatchRequest", "request", "request is not specified"));
  const params = { model: modelOf(details) };
  return { line: { customId: key, operation: kind.direct, request: { headers: {}, params, body: request }, units: 1 } };
}

function problemOf(problem: InputProblem): BatchProblem {
  const of = (code: string, message: string, line: number | null): BatchProblem => ({
    code,
    message,
    param: null,
    line,
  });
  switch (problem.kind) {
    case "empty":
      return of("INVALID_ARGUMENT", "The input file holds no requests.", null);
    case "too_many_lines":
      return of("INVALID_ARGUMENT", `The input holds more than ${String(problem.linesMax)} requests.`, null);
    case "repeated_id":
      return of("INVALID_ARGUMENT", `The key '${problem.customId}' is given twice.`, problem.line);
    case "other_model":
      return of("INVALID_ARGUMENT", "All requests of a batch go to the model of the batch.", problem.line);
    case "refused":
      return of(problem.refusal.type, problem.refusal.message, problem.line);
    case "queue_full":
      return of("RESOURCE_EXHAUSTED", `Too many tokens of ${problem.model} are enqueued in batches.`, null);
  }
}

/** Embeddings in a batch state their tokens as text. */
function withTokenCount(bodyText: string): string {
  const tokens = /"promptTokenCount":(\d+)/.exec(bodyText)?.[1];
  return tokens === undefined ? bodyText : `${bodyText.slice(0, -1)},"tokenCount":"${tokens}"}`;
}

/** A line of a results file, or, with its number in place of a key, what an inline result is made from. */
function resultOf(
  outcome: LineOutcome,
  details: BatchDetails,
): { readonly file: "output"; readonly text: string } | null {
  const inline = isInline(details);
  const key = `"key":${JSON.stringify(outcome.customId)}`;
  const head = inline ? `"line":${String(outcome.line)},${key}` : key;
  switch (outcome.kind) {
    case "succeeded": {
      const body = kindOf(details) === EMBED ? withTokenCount(outcome.bodyText) : outcome.bodyText;
      return { file: "output", text: `{${head},"response":${body}}` };
    }
    case "refused": {
      const { refusal } = outcome;
      const error = inline ? operationError(refusal.type, refusal.message) : rpcStatus(refusal);
      return { file: "output", text: `{${head},"error":${JSON.stringify(error)}}` };
    }
    case "expired":
    case "cancelled":
      return null;
  }
}

export const batchApi: BatchApi = {
  name: "gemini.batches",
  provider: "gemini",
  windowMs: WINDOW_MS,
  linesMax: LINES_MAX,
  oneModel: true,
  uniqueIds: true,
  unreadableRefusesBatch: false,
  refusesBatch: () => false,
  expiredKeepsResults: false,
  readLine,
  problemOf,
  refusalFor: (status, message) => geminiError(status, message),
  resultOf,
  resultFile: (file, batchId) => ({
    id: file === "output" ? `batch-${batchId}` : `batch-${batchId}-${file}`,
    details: { isResult: true },
    keptMs: RESULTS_KEPT_MS,
    listed: false,
  }),
};

class Batches {
  readonly #parts: EngineParts;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  create(kind: Kind, call: OperationCall): OperationAnswer {
    const read = readCreate(kind, call);
    if ("refusal" in read) return read;
    const name = call.params["model"] ?? "";
    const model = this.#parts.prices.find("gemini", name, kind.capability);
    if (model === null || model.batch === null) return { refusal: modelNotFound(name, kind.method) };
    const refusal = this.#quotaProblem(call.account);
    if (refusal !== null) return { refusal };
    const input = this.#inputOf(kind, read.batch, call);
    if ("refusal" in input) return input;
    const { displayName, priority } = read.batch;
    const view = this.#parts.batches.create({
      api: batchApi,
      account: call.account,
      id: this.#parts.batches.newId(""),
      operation: `gemini.${kind.method}`,
      path: `/v1beta/models/${name}:${kind.method}`,
      model: name,
      input: input.file,
      lines: input.lines,
      details: { kind: kind.name, model: name, displayName, priority, ...input.details },
    });
    return { status: 200, json: this.#operationJson(view, true) };
  }

  #quotaProblem(account: string): Refusal | null {
    const { batches, limits, clock } = this.#parts;
    const unfinished = batches.list("gemini", account).filter((batch) => endedMs(batch) === null).length;
    return unfinished >= UNFINISHED_MAX || !limits.takeBatchCreate(account, clock.now())
      ? quotaExhausted("ConcurrentBatches", HOUR_MS)
      : null;
  }

  #inputOf(kind: Kind, batch: JsonObject, call: OperationCall): Input | { readonly refusal: Refusal } {
    const config = objectAt(batch, "inputConfig") ?? {};
    const message = `Batch${kind.name}Request`;
    const name = textAt(config, "fileName");
    if (name !== null) return this.#inputFile(name, call.account);
    const inlined = objectsAt(objectAt(config, "requests") ?? {}, "requests");
    if (inlined.length === 0)
      return { refusal: invalidField(message, "batch.input_config", "input_config is not specified") };
    const empty = inlined.findIndex((one) => objectAt(one, "request") === null);
    if (empty >= 0) {
      const path = `batch.input_config.requests.requests[${String(empty)}].request`;
      return { refusal: invalidField(message, path, "request is not specified") };
    }
    return this.#inlineInput(inlined, call);
  }

  #inputFile(name: string, account: string): Input | { readonly refusal: Refusal } {
    const id = name.replace(/^files\//, "");
    const { files, clock } = this.#parts;
    const file = files.find("gemini", account, id);
    if (file?.listed !== true) return { refusal: fileDenied(id) };
    if (!isActive(file, clock.now()))
      return { refusal: failedPrecondition(`The File ${id} is not in an ACTIVE state and usage is not allowed.`) };
    return { file, lines: null, details: { fileName: `files/${id}` } };
  }

  #inlineInput(inlined: readonly JsonObject[], call: OperationCall): Input {
    const { files } = this.#parts;
    const writer = files.writer();
    const metadata = inlined.map((one) => objectAt(one, "metadata"));
    for (const [index, one] of inlined.entries()) {
      const key = keyOf(metadata[index] ?? null, index);
      writer.write(Buffer.from(`${JSON.stringify({ key, request: one["request"] })}\n`));
    }
    const id = `requests-${call.requestId}`;
    const file = files.keep(writer.done(), {
      provider: "gemini",
      account: call.account,
      id,
      expiresMs: null,
      listed: false,
      details: {},
    });
    return { file, lines: inlined.length, details: { metadata } };
  }

  get(call: OperationCall): OperationAnswer {
    const batch = this.#parts.batches.find("gemini", call.account, call.params["batch"] ?? "");
    return batch === null ? NOT_FOUND : { status: 200, json: this.#operationJson(batch, true) };
  }

  list(call: OperationCall): OperationAnswer {
    const page = readPage(call.query, "ListOperationsRequest", PAGE_SIZE, PAGE_SIZE_MAX);
    if ("refusal" in page) return page;
    const { items, token } = nextPage(this.#parts.batches.list("gemini", call.account), page);
    const operations = items.map((batch) => this.#operationJson(batch, false));
    return { status: 200, json: { ...(operations.length === 0 ? {} : { operations }), ...token } };
  }

  cancel(call: OperationCall): OperationAnswer {
    const id = call.params["batch"] ?? "";
    const cancelled = this.#parts.batches.cancel("gemini", call.account, id);
    if (cancelled === null) return NOT_FOUND;
    return cancelled === "final"
      ? { refusal: failedPrecondition(`The batch batches/${id} has ended and can't be cancelled.`) }
      : { status: 200, json: {} };
  }

  remove(call: OperationCall): OperationAnswer {
    const removed = this.#parts.batches.remove("gemini", call.account, call.params["batch"] ?? "");
    return removed ? { status: 200, json: {} } : NOT_FOUND;
  }

  #operationJson(batch: BatchView, withInlined: boolean): JsonObject {
    const name = `batches/${batch.id}`;
    const { details, times } = batch;
    const kind = kindOf(details);
    const ended = endedMs(batch);
    const error = errorOf(batch);
    const output = batch.outputFile === null ? null : this.#outputJson(batch, withInlined);
    const type = `${TYPES}.${kind.name}Batch`;
    return {
      name,
      metadata: {
        "@type": type,
        model: `models/${modelOf(details)}`,
        ...(details["displayName"] === undefined ? {} : { displayName: details["displayName"] }),
        ...(isInline(details) ? {} : { inputConfig: { fileName: details["fileName"] } }),
        ...(output === null ? {} : { output }),
        createTime: timestamp(times.createdMs),
        ...(ended === null ? {} : { endTime: timestamp(ended) }),
        updateTime: timestamp(updatedMs(batch)),
        batchStats: statsJson(batch),
        state: stateWord(batch),
        ...(typeof details["priority"] === "number" ? { priority: String(details["priority"]) } : {}),
        name,
      },
      ...(ended === null ? {} : { done: true }),
      ...(ended === null || error === null ? {} : { error }),
      ...(ended === null || error !== null ? {} : { response: { "@type": `${type}Output`, ...output } }),
    };
  }

  #outputJson(batch: BatchView, withInlined: boolean): JsonObject {
    if (!isInline(batch.details)) return { responsesFile: `files/${batch.outputFile ?? ""}` };
    if (!withInlined) return {};
    const file = this.#parts.batches.resultFile(batch, "output");
    return file === null ? {} : { inlinedResponses: { inlinedResponses: this.#inlined(file, batch.details) } };
  }

  /** Read at once: what came inline was below 20 MB. */
  #inlined(file: StoredFile, details: BatchDetails): readonly JsonObject[] {
    const asked: readonly unknown[] = Array.isArray(details["metadata"]) ? details["metadata"] : [];
    const lines = readFileSync(this.#parts.files.pathOf(file), "utf8").split("\n");
    return lines.flatMap((text) => {
      const read = inlinedLine(text);
      if (read === null) return [];
      const { line, key, ...outcome } = read;
      const index = Number(line) - 1;
      const own = isObject(asked[index]) ? asked[index] : null;
      // A line that nobody asked for (a fault) has a key of its own.
      const metadata = key === keyOf(own, index) ? own : { key };
      return [metadata === null ? outcome : { ...outcome, metadata }];
    });
  }
}

/** By which a request that came inline goes in the engine and on the bill. */
function keyOf(metadata: JsonObject | null, index: number): string {
  return textAt(metadata ?? {}, "key") ?? `request-${String(index)}`;
}

/** null for what a fault left of a line. */
function inlinedLine(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

const NOT_FOUND: OperationAnswer = { refusal: geminiError(404, "Requested entity was not found.") };

type Input = { readonly file: StoredFile; readonly lines: number | null; readonly details: JsonObject };

function readCreate(kind: Kind, call: OperationCall): { readonly batch: JsonObject } | { readonly refusal: Refusal } {
  const tooLarge = payloadTooLarge(call.headers);
  if (tooLarge !== null) return { refusal: tooLarge };
  if (!isObject(call.body)) return { refusal: invalidArgument("Invalid JSON payload received. Expected an object.") };
  const read = readProto(kind.batch, call.body);
  if ("violations" in read) return { refusal: badRequest(read.violations) };
  const message = `Batch${kind.name}Request`;
  const batch = objectAt(read.body, "batch");
  if (batch === null) return { refusal: invalidField(message, "batch", "batch is not specified") };
  if (batch["webhookConfig"] !== undefined)
    return { refusal: invalidArgument("batch.webhookConfig is not simulated.") };
  const model = textAt(batch, "model");
  const isOther = model !== null && model !== `models/${call.params["model"] ?? ""}`;
  return isOther
    ? { refusal: invalidField(message, "batch.model", "the model of the batch must be the model in the address.") }
    : { batch };
}

/** The batch operations of one server. */
export function batchOperations(parts: EngineParts): readonly Operation[] {
  const batches = new Batches(parts);
  const create = (kind: Kind): Operation => ({
    name: `gemini.${kind.method}`,
    method: "POST",
    path: `/v1beta/models/{model}:${kind.method}`,
    body: "json",
    handle: (call) => batches.create(kind, call),
  });
  const operation = (
    name: string,
    method: Operation["method"],
    path: string,
    handle: Operation["handle"],
    parameters: readonly string[] = [],
  ): Operation => ({
    name: `gemini.batches.${name}`,
    method,
    path,
    body: "none",
    handle: withParameters(parameters, handle),
  });
  return [
    create(GENERATE),
    create(EMBED),
    operation("list", "GET", "/v1beta/batches", (call) => batches.list(call), ["pageSize", "pageToken"]),
    operation("cancel", "POST", `${BATCH_PATH}:cancel`, (call) => batches.cancel(call)),
    operation("get", "GET", BATCH_PATH, (call) => batches.get(call)),
    operation("delete", "DELETE", BATCH_PATH, (call) => batches.remove(call)),
  ];
}
