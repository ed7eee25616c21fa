/**
 * Anthropic's message batches. Results are one stream, there once the batch has ended and until 29 days after its creation.
 * Source: providers.md 4.5 and the types of the official SDK 1.13, read 2026-11-24. Where no document says so, the answers to
 * a list by an unknown id, to cancelling an ended batch and to results before the end are the simulator's own choice.
 */
import type { BatchApi, BatchDetails, LineOutcome } from "../engine/batch-api.js";
import type { BatchView } from "../engine/batch-engine.js";
import { isObject } from "../engine/field-checks.js";
import type { EngineParts, Operation, OperationAnswer, OperationCall } from "../engine/operation.js";
import type { Refusal } from "../engine/refusal.js";
import { BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, readBatchInput } from "./batch-input.js";
import { errorBody, invalid, refusalFor } from "./errors.js";
import { anthropicMessages } from "./messages.js";
import { readPage } from "./pages.js";
import { microsecondTime } from "./times.js";
import { versionProblem } from "./version.js";

const HOUR_MS = 3_600_000;
const WINDOW_MS = 24 * HOUR_MS;
const RESULTS_MS = 29 * 24 * HOUR_MS;
const PATH = "/v1/messages/batches";
const PAGE_SIZE = 20;

/** What of a batch's creation its lines are judged by. */
function detailsOf(call: OperationCall): BatchDetails {
  return { version: call.headers["anthropic-version"] };
}

/** Fields that a direct call may have and a line may not. Source: the batch guide, read 2026-11-24. */
function lineProblem(params: unknown): Refusal | null {
  if (!isObject(params)) return invalid("params: Input should be a valid dictionary");
  if (params["stream"] === true) return invalid("stream: streaming is not supported in a batch");
  if (params["max_tokens"] === 0) return invalid("max_tokens: 0 is not supported in a batch");
  return params["speed"] === undefined ? null : invalid("speed: not supported in a batch");
}

function resultJson(outcome: LineOutcome): string {
  switch (outcome.kind) {
    case "succeeded":
      return `{"type":"succeeded","message":${outcome.bodyText}}`;
    case "refused":
      return JSON.stringify({ type: "errored", error: errorBody(outcome.refusal, outcome.requestId) });
    case "expired":
      return '{"type":"expired"}';
    case "cancelled":
      return '{"type":"canceled"}';
  }
}

export const batchApi: BatchApi = {
  name: "anthropic.batches",
  provider: "anthropic",
  windowMs: WINDOW_MS,
  linesMax: BATCH_REQUESTS_MAX,
  oneModel: false,
  uniqueIds: true,
  unreadableRefusesBatch: false,
  refusesBatch: () => false,
  expiredKeepsResults: true,
  readLine: (text, details) => {
    const line: unknown = JSON.parse(text);
    if (!isObject(line) || typeof line["custom_id"] !== "string")
      throw new Error("expected a line that was checked when its batch was created");
    const customId = line["custom_id"];
    const refusal = lineProblem(line["params"]);
    if (refusal !== null) {
      const problem = { code: refusal.type, message: refusal.message, param: null };
      return { unreadable: { customId, refusal, problem } };
    }
    const version = typeof details["version"] === "string" ? details["version"] : "";
    const request = { headers: { "anthropic-version": version }, params: {}, body: line["params"] };
    return { line: { customId, operation: anthropicMessages, request, units: 1 } };
  },
  // Nobody sees it: a batch that fails as a whole has only errored requests here.
  problemOf: (problem) => ({ code: problem.kind, message: problem.kind, param: null, line: null }),
  refusalFor,
  resultOf: (outcome) => {
    const text = `{"custom_id":${JSON.stringify(outcome.customId)},"result":${resultJson(outcome)}}`;
    return { file: "output", text };
  },
  resultFile: (file, batchId) => ({ id: `${batchId}_${file}`, details: {}, keptMs: RESULTS_MS, listed: false }),
};

function statusOf(batch: BatchView): string {
  if (batch.strangeState !== null) return batch.strangeState;
  switch (batch.state) {
    case "validating":
    case "in_progress":
    case "finalizing":
      return "in_progress";
    case "cancelling":
      return "canceling";
    case "completed":
    case "failed":
    case "expired":
    case "cancelled":
      return "ended";
  }
}

function endedMs({ times }: BatchView): number | null {
  return times.completedMs ?? times.expiredMs ?? times.cancelledMs ?? times.failedMs;
}

const NO_COUNTS = { processing: 0, succeeded: 0, errored: 0, canceled: 0, expired: 0 };

/** Of a batch that failed as a whole (a fault alone does that) every request is errored. */
function endCounts({ state, total, counts }: BatchView): typeof NO_COUNTS {
  if (state === "failed") return { ...NO_COUNTS, errored: total };
  const { succeeded, failed, cancelled, expired } = counts;
  return { processing: 0, succeeded, errored: failed, canceled: cancelled, expired };
}

class Batches {
  readonly #parts: EngineParts;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  async create(call: OperationCall): Promise<OperationAnswer> {
    const { limits, clock, files, batches } = this.#parts;
    const early = versionProblem(call.headers) ?? sizeProblem(call);
    if (early !== null) return { refusal: early };
    if (!limits.takeBatchCreate(call.account, clock.now()))
      return { refusal: { ...refusalFor(429, "Too many batches were created."), headers: ["retry-after", "60"] } };
    const writer = files.writer();
    const input = await readBatchInput(call.request, writer).catch((error: unknown) => {
      writer.abandon();
      throw error;
    });
    if ("refusal" in input) {
      writer.abandon();
      return input;
    }
    const batch = batches.create({
      api: batchApi,
      account: call.account,
      id: batches.newId("msgbatch_"),
      operation: "anthropic.batches.create",
      path: PATH,
      model: input.firstModel,
      input: files.keep(writer.done(), {
        provider: "anthropic",
        account: call.account,
        id: `requests_${call.requestId}`,
        expiresMs: null,
        listed: false,
        details: {},
      }),
      lines: input.requests,
      details: detailsOf(call),
    });
    return this.#shown(batch, call);
  }

  list(call: OperationCall): OperationAnswer {
    const all = this.#parts.batches.list("anthropic", call.account);
    const page = readPage(call.query, all, (batch) => batch.id, PAGE_SIZE);
    if ("refusal" in page) return page;
    const data = page.items.map((batch) => this.#json(batch, call.baseUrl));
    const ids = { first_id: page.items[0]?.id ?? null, last_id: page.items.at(-1)?.id ?? null };
    return { status: 200, json: { data, has_more: page.hasMore, ...ids } };
  }

  get(call: OperationCall): OperationAnswer {
    return this.#shown(this.#find(call), call);
  }

  cancel(call: OperationCall): OperationAnswer {
    const id = call.params["batch"] ?? "";
    const cancelled = this.#parts.batches.cancel("anthropic", call.account, id);
    if (cancelled === "final")
      return { refusal: invalid(`Batch ${id} has already ended, and can't be canceled any more.`) };
    return this.#shown(cancelled, call);
  }

  remove(call: OperationCall): OperationAnswer {
    const batch = this.#find(call);
    if (batch === null) return notFound(call);
    if (endedMs(batch) === null)
      return {
        refusal: invalid(`Batch ${batch.id} is still in progress. Cancel it, and delete it once it has ended.`),
      };
    this.#parts.batches.remove("anthropic", call.account, batch.id);
    return { status: 200, json: { id: batch.id, type: "message_batch_deleted" } };
  }

  results(call: OperationCall): OperationAnswer {
    const batch = this.#find(call);
    if (batch === null) return notFound(call);
    const file = this.#isArchived(batch) ? null : this.#parts.batches.resultFile(batch, "output");
    if (file === null) return { refusal: refusalFor(404, `Batch ${batch.id} has no results.`) };
    const path = this.#parts.files.pathOf(file);
    return { status: 200, path, bytes: file.bytes, contentType: "application/x-jsonl" };
  }

  #find(call: OperationCall): BatchView | null {
    return this.#parts.batches.find("anthropic", call.account, call.params["batch"] ?? "");
  }

  #isArchived(batch: BatchView): boolean {
    return this.#parts.clock.now() >= batch.times.createdMs + RESULTS_MS;
  }

  #shown(batch: BatchView | null, call: OperationCall): OperationAnswer {
    return batch === null ? notFound(call) : { status: 200, json: this.#json(batch, call.baseUrl) };
  }

  #json(batch: BatchView, baseUrl: string): Record<string, unknown> {
    const { total, times } = batch;
    const ended = endedMs(batch);
    const archivedMs = this.#isArchived(batch) ? times.createdMs + RESULTS_MS : null;
    const hasResults = ended !== null && archivedMs === null;
    return {
      id: batch.id,
      type: "message_batch",
      processing_status: statusOf(batch),
      request_counts: ended === null ? { ...NO_COUNTS, processing: total } : endCounts(batch),
      created_at: microsecondTime(times.createdMs),
      expires_at: microsecondTime(times.expiresMs),
      ended_at: microsecondTime(ended),
      cancel_initiated_at: microsecondTime(times.cancellingMs),
      archived_at: microsecondTime(archivedMs),
      results_url: hasResults ? `${baseUrl}${PATH}/${batch.id}/results` : null,
    };
  }
}

function notFound(call: OperationCall): OperationAnswer {
  return { refusal: refusalFor(404, `No batch with the id ${call.params["batch"] ?? ""} was found.`) };
}

function sizeProblem({ headers }: OperationCall): Refusal | null {
  return Number(headers["content-length"] ?? 0) > BATCH_BYTES_MAX
    ? refusalFor(413, `Request exceeds the maximum size of ${String(BATCH_BYTES_MAX)} bytes.`)
    : null;
}

/** The message batch operations of one server. */
export function batchOperations(parts: EngineParts): readonly Operation[] {
  const batches = new Batches(parts);
  const operation = (
    name: string,
    method: Operation["method"],
    path: string,
    handle: (call: OperationCall) => OperationAnswer,
  ): Operation => ({
    name: `anthropic.batches.${name}`,
    method,
    path,
    body: "none",
    handle: (call) => {
      const refusal = versionProblem(call.headers);
      return refusal === null ? handle(call) : { refusal };
    },
  });
  return [
    {
      name: "anthropic.batches.create",
      method: "POST",
      path: PATH,
      body: "stream",
      handle: (call) => batches.create(call),
    },
    operation("list", "GET", PATH, (call) => batches.list(call)),
    operation("get", "GET", `${PATH}/{batch}`, (call) => batches.get(call)),
    operation("delete", "DELETE", `${PATH}/{batch}`, (call) => batches.remove(call)),
    operation("cancel", "POST", `${PATH}/{batch}/cancel`, (call) => batches.cancel(call)),
    operation("results", "GET", `${PATH}/{batch}/results`, (call) => batches.results(call)),
  ];
}
