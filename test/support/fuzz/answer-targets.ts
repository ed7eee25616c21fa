import fc from "fast-check";
import { readFileSync, readdirSync } from "node:fs";
import { WIRE as ANTHROPIC } from "../../../src/adapters/providers/anthropic/anthropic-provider.js";
import {
  ANTHROPIC_ID_PATH,
  fromAnthropicBatchLine,
} from "../../../src/adapters/providers/anthropic/from-batch-line.js";
import type { PartReading } from "../../../src/adapters/providers/batch-records.js";
import { WIRE as COMPATIBLE } from "../../../src/adapters/providers/compatible/compatible-provider.js";
import { readAnswer } from "../../../src/adapters/providers/direct-call.js";
import { ElementSplitter } from "../../../src/adapters/providers/element-splitter.js";
import { fromGeminiBatchLine, GEMINI_ID_PATHS } from "../../../src/adapters/providers/gemini/from-batch-line.js";
import { fromGeminiOperation, roleOfList } from "../../../src/adapters/providers/gemini/from-operation.js";
import { WIRE as GEMINI } from "../../../src/adapters/providers/gemini/gemini-provider.js";
import { WIRE as GROQ } from "../../../src/adapters/providers/groq/groq-provider.js";
import type { HttpAnswer } from "../../../src/adapters/providers/http.js";
import { parseJsonObject } from "../../../src/adapters/providers/json-object.js";
import { LineSplitter } from "../../../src/adapters/providers/line-splitter.js";
import { fromOpenaiBatchLine, OPENAI_ID_PATH } from "../../../src/adapters/providers/openai/from-batch-line.js";
import { fromOpenaiBatch } from "../../../src/adapters/providers/openai/from-batch.js";
import { fromAnthropicBatch } from "../../../src/adapters/providers/anthropic/from-batch.js";
import { WIRE as OPENAI } from "../../../src/adapters/providers/openai/openai-provider.js";
import type { WireFormat } from "../../../src/adapters/providers/wire-format.js";
import { chargeNanoUsd } from "../../../src/domain/cost/charge.js";
import type { ModelPrice } from "../../../src/domain/cost/price.js";
import { translateAnswer } from "../../../src/domain/format/translate.js";
import type { RequestFormat } from "../../../src/domain/job/job.js";
import type { ProviderAnswer } from "../../../src/ports/provider.js";
import type { ResultItem } from "../../../src/ports/batch-provider.js";
import { NOW_MS } from "../../unit/job-admission-fixture.js";
import { itemsOf, LINE_BYTES_MAX } from "../result-parts.js";
import { mustBeShort, mustHold, type FuzzTarget } from "./fuzz-target.js";
import { mutatedBytes } from "./mutated-bytes.js";

const golden = (path: string): URL => new URL(`../../golden/${path}`, import.meta.url);
const filesIn = (folder: string, ending: string): readonly Buffer[] =>
  readdirSync(golden(folder))
    .filter((name) => name.endsWith(ending))
    .map((name) => readFileSync(golden(`${folder}/${name}`)));

const ANSWERS = [...filesIn("providers/", ".json"), ...filesIn("formats/answers/", ".json")];
const WIRES: readonly WireFormat[] = [OPENAI, ANTHROPIC, GEMINI, GROQ, COMPATIBLE];
/** Formats in which a job may want to be answered. */
const ASKED: readonly RequestFormat[] = ["openai.chat", "anthropic.messages", "gemini.generate"];

const PRICE: ModelPrice = {
  version: "x",
  inputNanoPerMillion: 400_000_000n,
  outputNanoPerMillion: 1_600_000_000n,
  cachedInputNanoPerMillion: 100_000_000n,
  cacheWriteNanoPerMillion: 500_000_000n,
  cacheWrite1hNanoPerMillion: 800_000_000n,
  longContext: null,
};

/** A charge is never negative, whatever a provider says that it used. */
function mustBePayable(answer: Pick<ProviderAnswer, "usage">): void {
  const charge = chargeNanoUsd(answer.usage, PRICE);
  mustHold(charge.kind === "suspect" || charge.nanoUsd >= 0n, "a negative charge");
}

const headerText = fc.oneof(
  fc.constantFrom(
    "application/json",
    "text/html",
    "gzip",
    "identity",
    "2",
    "-1",
    "1e9",
    "Fri, 27 Nov 2026 10:00:00 GMT",
    "864000",
    "NaN",
    "1s",
    "6m0s",
    "2026-11-27T10:00:00Z",
    "",
  ),
  fc.string({ maxLength: 12 }),
);
const headers = fc.dictionary(
  fc.constantFrom(
    "content-type",
    "content-encoding",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "request-id",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-reset-requests",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
  ),
  headerText,
  { maxKeys: 3 },
);

interface Answered {
  readonly wire: WireFormat;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** As the caller hands a body on: text, or why it is none. */
function replyOf({ status, headers: named, body }: Answered): HttpAnswer {
  try {
    return { kind: "answer", status, headers: named, bodyText: decoder.decode(body), problem: null };
  } catch {
    return { kind: "answer", status, headers: named, bodyText: null, problem: "not_utf8" };
  }
}

export const PROVIDER_ANSWERS: FuzzTarget<Answered> = {
  name: "provider answer",
  inputs: fc.record({
    wire: fc.constantFrom(...WIRES),
    status: fc.constantFrom(
      ...Array.from({ length: 16 }, () => 200),
      201,
      302,
      400,
      401,
      403,
      404,
      413,
      418,
      429,
      500,
      502,
      529,
    ),
    headers: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, headers),
    body: mutatedBytes(ANSWERS),
  }),
  read: (answered) => {
    const { wire } = answered;
    const reply = replyOf(answered);
    wire.rateLimits(reply.headers, NOW_MS);
    const words: string[] = [];
    for (const [format, own] of Object.entries(wire.calls)) {
      const answer = readAnswer(reply, wire, own, { nowMs: () => NOW_MS, responseBytesMax: 1_000_000 });
      words.push(answer.kind === "answered" ? "answered" : answer.outcome);
      if (answer.kind === "failed") {
        mustBeShort(answer.message);
        mustHold(
          answer.retryAfterMs === null || answer.retryAfterMs >= 0,
          `a wait of ${String(answer.retryAfterMs)} ms`,
        );
        continue;
      }
      mustBePayable(answer);
      for (const asked of ASKED) {
        const told = translateAnswer(format as RequestFormat, asked, answer.bodyText, "{}"); // a key of `calls`
        if (told.kind === "carried") JSON.parse(told.bodyText);
      }
    }
    return words.sort().at(0) ?? "nothing";
  },
};

/** Results of each provider, and batches as their APIs tell of them. */
const READINGS: Readonly<Record<string, { readonly seeds: readonly Buffer[]; readonly reading: () => PartReading }>> = {
  openai: {
    seeds: [readFileSync(golden("batches/openai/failed-lines.json")), ...resultLines("openai")],
    reading: () => ({
      splitter: new LineSplitter(LINE_BYTES_MAX),
      readRecord: (text) => fromOpenaiBatchLine(OPENAI, "openai.chat", text),
      idPath: OPENAI_ID_PATH,
    }),
  },
  anthropic: {
    seeds: resultLines("anthropic"),
    reading: () => ({
      splitter: new LineSplitter(LINE_BYTES_MAX),
      readRecord: (text) => fromAnthropicBatchLine(ANTHROPIC, text),
      idPath: ANTHROPIC_ID_PATH,
    }),
  },
  "gemini file": {
    seeds: resultLines("gemini"),
    reading: () => ({
      splitter: new LineSplitter(LINE_BYTES_MAX),
      readRecord: (text) => fromGeminiBatchLine(GEMINI, "gemini.generate", text),
      idPath: GEMINI_ID_PATHS.file,
    }),
  },
  "gemini inline": {
    seeds: [readFileSync(golden("batches/gemini/succeeded-inline.json"))],
    reading: () => ({
      splitter: new ElementSplitter({ elementBytesMax: LINE_BYTES_MAX, skeletonBytesMax: 4_096, roleOf: roleOfList }),
      readRecord: (text) => fromGeminiBatchLine(GEMINI, "gemini.generate", text),
      idPath: GEMINI_ID_PATHS.inline,
    }),
  },
};

function resultLines(kind: "openai" | "anthropic" | "gemini"): readonly Buffer[] {
  const line = (id: number): string => {
    const customId = `0000-${String(id)}1`;
    const chat = {
      id: "r",
      model: "m",
      choices: [{ message: { content: "hi" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
    };
    if (kind === "openai")
      return JSON.stringify({
        custom_id: customId,
        response: { status_code: 200, request_id: "q", body: chat },
        error: null,
      });
    if (kind === "anthropic")
      return JSON.stringify({
        custom_id: customId,
        result: {
          type: "succeeded",
          message: {
            id: "m",
            model: "m",
            content: [{ type: "text", text: "hi" }],
            stop_reason: "end_turn",
            usage: { input_tokens: 3, output_tokens: 1 },
          },
        },
      });
    return JSON.stringify({
      key: customId,
      response: {
        candidates: [{ content: { parts: [{ text: "hi" }] }, finishReason: "STOP" }],
        usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 1 },
      },
    });
  };
  const failed = JSON.stringify({
    custom_id: "0000-91",
    key: "0000-91",
    response: null,
    result: { type: "errored", error: { type: "error", error: { type: "api_error" } } },
    error: { code: "batch_expired", message: "x" },
  });
  const lines = [line(1), line(2), failed, line(1)];
  return [lines.join("\n"), `\ufeff${lines.join("\r\n")}\r\n`, `${line(3)}\n\n${failed}`].map((text) =>
    Buffer.from(text),
  );
}

const BATCHES = ["openai", "anthropic", "gemini"].flatMap((kind) => filesIn(`batches/${kind}/`, ".json"));

interface Results {
  readonly kind: string;
  readonly bytes: Buffer;
  readonly chunks: readonly number[];
  readonly batch: Buffer;
}

export const BATCH_RESULTS: FuzzTarget<Results> = {
  name: "batch results",
  inputs: fc.constantFrom(...Object.keys(READINGS)).chain((kind) =>
    fc.record({
      kind: fc.constant(kind),
      bytes: mutatedBytes(READINGS[kind]?.seeds ?? []),
      chunks: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 6 }),
      batch: mutatedBytes(BATCHES),
    }),
  ),
  read: async ({ kind, bytes, chunks, batch }) => {
    const items = await itemsOf([{ bytes, chunks }], null, READINGS[kind]?.reading);
    const last = items.at(-1);
    mustHold(last?.kind === "end" || last?.kind === "broken", "results without an end");
    // One for what stands between two breaks, at most, and what the whole came to.
    mustHold(items.length <= bytes.length + 2, `${String(items.length)} items of ${String(bytes.length)} bytes`);
    for (const item of items) followItem(item);
    followBatch(batch);
    return [...new Set(items.map((item) => item.kind))].sort().join("+");
  },
};

function followItem(item: ResultItem): void {
  if (item.kind !== "line") return;
  mustHold(item.customId !== "", "a line without an id");
  if (item.outcome.kind === "answered") mustBePayable(item.outcome);
}

function followBatch(bytes: Buffer): void {
  const body = parseJsonObject(bytes.toString("utf8"));
  if (body === null) return;
  for (const batch of [fromOpenaiBatch(body), fromAnthropicBatch(body), fromGeminiOperation(body)])
    if (batch !== null) mustHold(batch.batchId !== "", "a batch without an id");
}
