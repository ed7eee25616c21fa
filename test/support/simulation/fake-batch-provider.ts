import type { BatchRules } from "../../../src/domain/batch/batch-rules.js";
import { NO_USAGE } from "../../../src/domain/cost/usage.js";
import type { AttemptOutcome } from "../../../src/domain/failure.js";
import { readResults, type OpenPart, type ReadRecord } from "../../../src/adapters/providers/batch-records.js";
import { IncomingBody } from "../../../src/adapters/providers/incoming-body.js";
import { LineSplitter } from "../../../src/adapters/providers/line-splitter.js";
import type {
  BatchCallFailure,
  BatchCreate,
  BatchLineRequest,
  BatchProvider,
  BatchUpload,
  CallLimits,
  CancelReply,
  CreateReply,
  DeletedReply,
  EncodedLine,
  EraseReply,
  EraseRequest,
  FilesReply,
  GetReply,
  JobBody,
  LineAnswer,
  LineOutcome,
  ListReply,
  ListRequest,
  ResultItem,
  ResultsRequest,
  SendLimits,
  StoredFile,
  UploadReply,
} from "../../../src/ports/batch-provider.js";
import type { ProviderAnswer } from "../../../src/ports/provider.js";
import {
  isRefusal,
  refusal,
  shuffled,
  type BatchService,
  type CreateCall,
  type ServedBatch,
  type ServedFile,
} from "./batch-service.js";
import type { Life } from "./world.js";

/** Short, so that a scan has to turn pages. */
const PAGE = 2;
const LINE_BYTES_MAX = 20_000;

type CallFate = "done" | "no_connection" | "error" | "answer_lost";
type CreateFate = "made" | "no_connection" | "lost" | "answer_lost" | "late" | "error" | "queue_full" | "rate_limited";

/** One router's connection to a simulated batch API. What left goes on at the far side whatever becomes of the router. */
export class FakeBatchProvider implements BatchProvider {
  readonly account: string;
  readonly rules: BatchRules;
  readonly #service: BatchService;
  readonly #life: Life;

  constructor(service: BatchService, life: Life) {
    this.account = service.account;
    this.rules = service.rules;
    this.#service = service;
    this.#life = life;
  }

  encodeLine({ attemptId, model, bodyText }: BatchLineRequest): EncodedLine {
    const body = { ...(JSON.parse(bodyText) as object), model }; // a job's body is an object
    const bytes = Buffer.from(JSON.stringify({ custom_id: attemptId, body }), "utf8");
    return { kind: "encoded", bytes, lineFormat: "openai.chat", embeddingInputs: 0 };
  }

  async upload(upload: BatchUpload, limits: CallLimits, signal: AbortSignal): Promise<UploadReply> {
    const fate = this.#fate();
    const { world } = this.#service.parts;
    const untilMs = world.nowMs + limits.timeoutMs;
    await world.step(this.#life, "upload");
    if (fate === "no_connection") return failed("connection_failed", "no");
    const lines = await this.#pull(upload.lines, upload.linesBytes);
    await world.step(this.#life, "uploaded");
    if (signal.aborted || fate === "error" || world.nowMs > untilMs) return failed("overloaded", "answered");
    const file = this.#service.store(upload.name, lines);
    if (fate === "answer_lost") return failed("timed_out", "perhaps");
    return { kind: "uploaded", file: this.#seen(file) };
  }

  async #pull(lines: AsyncIterable<Uint8Array>, linesBytes: number): Promise<string[]> {
    const pulled: string[] = [];
    let bytes = 0;
    for await (const line of lines) {
      bytes += line.length + 1;
      pulled.push(Buffer.from(line).toString("utf8"));
    }
    if (bytes !== linesBytes) throw new RangeError(`${String(linesBytes)} bytes were promised, ${String(bytes)} came`);
    return pulled;
  }

  #seen({ id, name, lines, createdMs, readyMs }: ServedFile): StoredFile {
    const { world } = this.#service.parts;
    return {
      fileId: id,
      name,
      bytes: lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0),
      createdAtMs: createdMs,
      state: readyMs > world.nowMs ? "processing" : "ready",
    };
  }

  findFiles(
    { name, sinceMs }: { readonly name: string; readonly sinceMs: number },
    limits: CallLimits,
    signal: AbortSignal,
  ): Promise<FilesReply> {
    const { world, books } = this.#service.parts;
    return this.#ask("find files", limits, signal, () => {
      const files = [...books.files.values()].filter(
        (file) =>
          file.name === name && !file.deleted && file.createdMs >= sinceMs - 1000 && file.visibleMs <= world.nowMs,
      );
      return { kind: "files", files: files.map((file) => this.#seen(file)) };
    });
  }

  deleteFile(fileId: string, limits: CallLimits, signal: AbortSignal): Promise<DeletedReply> {
    const { books } = this.#service.parts;
    return this.#ask("delete file", limits, signal, (): DeletedReply => {
      const file = books.files.get(fileId);
      if (file === undefined || file.deleted) return { kind: "absent" };
      file.deleted = true;
      return { kind: "deleted" };
    });
  }

  async create(batch: BatchCreate, limits: SendLimits, signal: AbortSignal): Promise<CreateReply> {
    const { world, books } = this.#service.parts;
    const fate = this.#createFate();
    const calledMs = world.nowMs;
    const { input, mark, model } = batch;
    await world.step(this.#life, "connect");
    const lines = input.way === "inline" ? await this.#pull(input.lines, input.linesBytes) : [];
    if (fate === "no_connection" || world.nowMs - calledMs > limits.sendWithinMs) return notSent("no_connection");
    if (signal.aborted || !limits.maySend()) return notSent("stopped");
    const fileId = input.way === "file" ? input.fileId : null;
    const sent = fileId === null ? lines : (books.files.get(fileId)?.lines ?? []);
    const call: CreateCall = {
      account: this.account,
      ids: sent.map((line) => (JSON.parse(line) as { custom_id: string }).custom_id), // our own encoding
      mark,
      fileId,
      leftMs: world.nowMs,
      told: null,
      batch: null,
    };
    books.creates.push(call);
    books.onCreate(call);
    const made = await this.#arrive(call, fate, { mark, fileId, model, lines });
    if (isCut(signal) || world.nowMs - calledMs > limits.timeoutMs || made === null)
      return { kind: "unclear", failure: failed("timed_out", fate === "error" ? "answered" : "perhaps") };
    call.told = made.kind;
    return made;
  }

  /** @returns what the caller is told; null: nothing that helps. */
  async #arrive(
    call: CreateCall,
    fate: CreateFate,
    order: Parameters<BatchService["make"]>[0],
  ): Promise<Extract<CreateReply, { kind: "created" | "refused" }> | null> {
    const { world, books } = this.#service.parts;
    const { random } = world;
    if (fate === "lost") books.count("createsLost");
    if (fate === "answer_lost" || fate === "error") books.count("createsAnswerLost");
    if (fate === "late") books.count("createsLate");
    const takesMs = fate === "late" ? this.#service.lateMs() : random.between(2, 300);
    const refused = fate === "queue_full" || fate === "rate_limited";
    let made: ServedBatch | ReturnType<typeof refusal> | null = refused
      ? refusal(fate, random.between(100, 3000))
      : null;
    if (fate !== "lost" && !refused && !(fate === "error" && random.chance(0.5))) {
      books.onTheWay += 1;
      world.at(takesMs, `create ${this.account} ${fate}`, null, () => {
        books.onTheWay -= 1;
        made = this.#service.make(order);
        if (isRefusal(made)) {
          if (made.because === "file_gone") books.count("createsFenced");
        } else call.batch = made;
      });
    }
    const answeredMs = fate === "late" ? Math.min(takesMs, random.between(50, 3000)) : takesMs + random.between(1, 200);
    await world.wait(this.#life, "create", answeredMs);
    if (fate !== "made" && !refused) return null;
    const told = made as ServedBatch | ReturnType<typeof refusal> | null; // set meanwhile
    if (told === null) return null;
    if (isRefusal(told)) {
      books.count("createsRefused");
      return { kind: "refused", refusal: told };
    }
    return { kind: "created", batch: this.#service.view(told) };
  }

  list(request: ListRequest, limits: CallLimits, signal: AbortSignal): Promise<ListReply> {
    const { world, books } = this.#service.parts;
    return this.#ask("list batches", limits, signal, () => {
      const batches = [...books.batches.values()]
        .filter(
          (batch) =>
            batch.account === this.account &&
            batch.visibleMs <= world.nowMs &&
            batch.createdMs >= request.sinceMs - 1000,
        )
        .sort((a, b) => b.createdMs - a.createdMs);
      const from = request.after === null ? 0 : batches.findIndex(({ id }) => id === request.after) + 1;
      const page = batches.slice(from, from + PAGE);
      const next = batches.length > from + PAGE ? (page.at(-1)?.id ?? null) : null;
      return { kind: "page", batches: page.map((batch) => this.#service.view(batch)), next };
    });
  }

  #find(batchId: string): ServedBatch | null {
    const { world, books } = this.#service.parts;
    const batch = books.batches.get(batchId);
    return batch === undefined || batch.erased || batch.visibleMs > world.nowMs ? null : batch;
  }

  get(batchId: string, limits: CallLimits, signal: AbortSignal): Promise<GetReply> {
    return this.#ask("get batch", limits, signal, (): GetReply => {
      const batch = this.#find(batchId);
      return batch === null ? { kind: "absent" } : { kind: "batch", batch: this.#service.view(batch) };
    });
  }

  cancel(batchId: string, limits: CallLimits, signal: AbortSignal): Promise<CancelReply> {
    return this.#ask("cancel batch", limits, signal, (): CancelReply => {
      const batch = this.#find(batchId);
      if (batch === null) return { kind: "absent" };
      if (batch.endedMs !== null) return { kind: "ended" };
      this.#service.cancel(batch);
      return { kind: "cancelling" };
    });
  }

  erase({ batchId, fileId }: EraseRequest, limits: CallLimits, signal: AbortSignal): Promise<EraseReply> {
    const { books } = this.#service.parts;
    return this.#ask("erase batch", limits, signal, () => {
      const batch = books.batches.get(batchId);
      if (batch !== undefined) batch.erased = true;
      const file = fileId === null ? undefined : books.files.get(fileId);
      if (file !== undefined) file.deleted = true;
      return { kind: "erased" };
    });
  }

  results(request: ResultsRequest, limits: CallLimits, signal: AbortSignal): AsyncIterable<ResultItem> {
    const batch = this.#service.parts.books.batches.get(request.batchId);
    const tooLong: LineOutcome = lineFailure("bad_response", "perhaps");
    const open = (part: number): Promise<OpenPart> => this.#open(batch, part, signal);
    return readResults({ partCount: request.parts.length, open, tooLong }, request.cursor);
  }

  async #open(batch: ServedBatch | undefined, part: number, signal: AbortSignal): Promise<OpenPart> {
    const { world, books, trouble } = this.#service.parts;
    const fate = this.#fate();
    await world.step(this.#life, "open results");
    if (fate === "no_connection" || signal.aborted)
      return { kind: "broken", failure: failed("connection_failed", "no") };
    if (batch === undefined || batch.erased || (batch.gone && part === 0))
      return { kind: "gone", failure: failed("refused", "answered") };
    const reordered = world.random.chance(trouble() / 4);
    if (reordered) books.count("readsReordered");
    const texts = batch.texts[part] ?? [];
    const lines = reordered ? shuffled(world, texts) : texts;
    const breaksAt = fate === "done" ? Infinity : world.random.between(0, lines.length);
    if (breaksAt < lines.length) books.count("readsBroken");
    const body = new IncomingBody({ pause: () => undefined, resume: () => undefined, cancel: () => undefined });
    void this.#pour(body, lines, breaksAt);
    const reading = { splitter: new LineSplitter(LINE_BYTES_MAX), readRecord, idPath: ["custom_id"] };
    return { kind: "open", body, reading, failure: () => failed("connection_failed", "answered") };
  }

  async #pour(body: IncomingBody, lines: readonly string[], breaksAt: number): Promise<void> {
    const { world } = this.#service.parts;
    for (const [at, line] of lines.entries()) {
      if (at === breaksAt) {
        body.push(Buffer.from(line.slice(0, line.length / 2)));
        body.end({ kind: "broken", cause: new Error("cut off") } as unknown as Parameters<IncomingBody["end"]>[0]); // only whether it is there matters
        return;
      }
      body.push(Buffer.from(`${line}\n`));
      // Serial: bytes come one after another.
      if (world.random.chance(0.3)) await world.step(this.#life, "results");
    }
    await world.step(this.#life, "results end");
    body.end(null);
  }

  answerIn(_job: JobBody, answer: LineAnswer): ProviderAnswer {
    return answer;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #fate(): CallFate {
    const { world, trouble } = this.#service.parts;
    if (!world.random.chance(trouble() / 2)) return "done";
    return world.random.pick(["no_connection", "error", "answer_lost"]);
  }

  #createFate(): CreateFate {
    const { world, trouble } = this.#service.parts;
    if (!world.random.chance(trouble())) return "made";
    const fate = world.random.pick([
      "no_connection",
      "lost",
      "answer_lost",
      "answer_lost",
      "late",
      "late",
      "error",
      "queue_full",
      "rate_limited",
    ] as const);
    const isUnanswered = fate === "lost" || fate === "answer_lost";
    return isUnanswered && this.#service.comesWhenGivenUp ? "late" : fate;
  }

  /** A call that may be repeated: it fails before it did its work, or after. */
  async #ask<Reply>(
    label: string,
    limits: CallLimits,
    signal: AbortSignal,
    work: () => Reply,
  ): Promise<Reply | BatchCallFailure> {
    const { world } = this.#service.parts;
    const fate = this.#fate();
    const calledMs = world.nowMs;
    await world.step(this.#life, label);
    if (fate === "no_connection" || signal.aborted) return failed("connection_failed", "no");
    if (fate === "error") return failed("overloaded", "answered");
    const reply = work();
    await world.step(this.#life, `${label} answered`);
    const isLate = world.nowMs - calledMs > limits.timeoutMs || signal.aborted;
    return fate === "answer_lost" || isLate ? failed("timed_out", "perhaps") : reply;
  }
}

/** Asked anew after each wait. */
function isCut(signal: AbortSignal): boolean {
  return signal.aborted;
}

function readRecord(text: string): ReadRecord {
  let record: WireLine;
  try {
    record = JSON.parse(text) as WireLine; // the service's own
  } catch {
    return { kind: "not_json" };
  }
  const { custom_id: customId, answer, failure } = record;
  if (answer === undefined)
    return { kind: "line", customId, outcome: lineFailure(failure?.outcome ?? "unclassified", "by_rule") };
  const usage = { ...NO_USAGE, inputTokens: answer.inputTokens, outputTokens: answer.outputTokens };
  return {
    kind: "line",
    customId,
    outcome: {
      kind: "answered",
      format: "openai.chat",
      bodyText: JSON.stringify(answer.body),
      finishReason: "stop",
      modelVersion: null,
      usage,
      usageSuspect: false,
      requestId: `request-${customId}`,
      empty: false,
    },
  };
}

interface WireLine {
  readonly custom_id: string;
  readonly answer?: { readonly body: object; readonly inputTokens: number; readonly outputTokens: number };
  readonly failure?: { readonly outcome: Exclude<AttemptOutcome, "succeeded"> };
}

function lineFailure(
  outcome: Exclude<AttemptOutcome, "succeeded">,
  billed: "by_rule" | "perhaps",
): Extract<LineOutcome, { kind: "failed" }> {
  return {
    kind: "failed",
    outcome,
    message: outcome,
    provider: { status: 400, code: outcome, requestId: null },
    billed,
  };
}

function failed(outcome: BatchCallFailure["outcome"], sent: BatchCallFailure["sent"]): BatchCallFailure {
  return {
    kind: "failed",
    outcome,
    sent,
    message: outcome,
    retryAfterMs: null,
    provider: { status: sent === "answered" ? 500 : null, code: null, requestId: null },
  };
}

function notSent(because: "no_connection" | "stopped"): CreateReply {
  return { kind: "not_sent", because, message: because };
}
