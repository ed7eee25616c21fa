import type { RequestFormat } from "../domain/job/job.js";
import type { FaultRule } from "./simulated.js";
import { chatBody, embeddingBody, PROMPT_TEXTS, type ChatCase } from "./chat-bodies.js";
import { errorCases } from "./error-rows.js";
import type { AnsweredExpectation, DirectRow, FailedExpectation, MatrixProvider } from "./matrix-row.js";

/** Direct calls of one provider: what it can answer in each format, each class of error, and what a connection can do. */

const FILM = { title: "string", year: "number" } as const;
const HANG_TIMEOUT_MS = 700;

const ANSWERS: Readonly<Partial<Record<ChatCase, Omit<AnsweredExpectation, "kind">>>> = {
  text: { finishReason: "stop", promptTexts: PROMPT_TEXTS.text },
  system: { finishReason: "stop", promptTexts: PROMPT_TEXTS.system },
  turns: { finishReason: "stop", promptTexts: PROMPT_TEXTS.turns },
  image: { finishReason: "stop", promptTexts: PROMPT_TEXTS.image },
  tool: { finishReason: "tool_calls", tool: { name: "find_film", members: FILM } },
  toolResult: { finishReason: "stop" },
  json: { finishReason: "stop", json: FILM },
  stop: { finishReason: "stop" },
  length: { finishReason: "length" },
  sampling: { finishReason: "stop" },
};

export function directRows(provider: MatrixProvider): readonly DirectRow[] {
  return [...answerRows(provider), ...embeddingRows(provider), ...errorRows(provider), ...faultRows(provider)];
}

function answerRows(provider: MatrixProvider): DirectRow[] {
  return provider.chatFormats.flatMap((format) =>
    Object.entries(ANSWERS).map(([chatCase, expected]): DirectRow => ({
      name: `${format}: ${chatCase}`,
      format,
      model: provider.model,
      body: chatBody(format, chatCase as ChatCase, provider.model), // a key of ANSWERS
      faults: [],
      expected: { kind: "answered", suspect: false, empty: false, requestId: true, ...expected },
      billedRows: 1,
    })),
  );
}

function embeddingRows({ embeddingModel, embeddingFormats }: MatrixProvider): DirectRow[] {
  if (embeddingModel === null) return [];
  return embeddingFormats.map((format) => ({
    name: `${format}: vectors`,
    format,
    model: embeddingModel,
    body: embeddingBody(format, embeddingModel),
    faults: [],
    expected: { kind: "answered", vectors: { count: format === "openai.embeddings" ? 2 : 1, dimensions: 8 } },
    billedRows: 1,
  }));
}

/** One plain chat in the provider's own format, with something going wrong. */
function plainRow(
  provider: MatrixProvider,
  name: string,
  fault: FaultRule["fault"],
  expected: AnsweredExpectation | FailedExpectation,
  billedRows: 0 | 1,
): DirectRow {
  const format = ownFormat(provider);
  return {
    name,
    format,
    model: provider.model,
    body: chatBody(format, "text", provider.model),
    faults: [{ fault }],
    expected,
    billedRows,
  };
}

function ownFormat(provider: MatrixProvider): RequestFormat {
  const [own] = provider.chatFormats;
  if (own === undefined) throw new Error(`InvariantError: ${provider.name} has no format of its own`);
  return own;
}

function errorRows(provider: MatrixProvider): DirectRow[] {
  return errorCases(provider.kind).map(({ name, fault, outcome, retryAfterMs }) =>
    plainRow(
      provider,
      `error: ${name}`,
      fault,
      { kind: "failed", outcome, sent: "answered", ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
      0,
    ),
  );
}

function faultRows(provider: MatrixProvider): DirectRow[] {
  const failed = (outcome: FailedExpectation["outcome"], sent: FailedExpectation["sent"]): FailedExpectation => ({
    kind: "failed",
    outcome,
    ...(sent === undefined ? {} : { sent }),
  });
  const answered = (more: Omit<AnsweredExpectation, "kind">): AnsweredExpectation => ({ kind: "answered", ...more });
  // Gemini says no by its safety filter only.
  const refused = provider.kind === "gemini" ? "content_filter" : "refusal";
  const row = plainRow.bind(null, provider);
  const rows = [
    row("fault: a web page with 200", { kind: "html_200" }, failed("bad_response", "answered"), 0),
    row("fault: a redirect elsewhere", { kind: "redirect" }, failed("bad_response", "answered"), 0),
    row("fault: cut before the work", { kind: "drop_before" }, failed("connection_failed", "perhaps"), 0),
    row("fault: cut after the work", { kind: "drop_after_billed" }, failed("connection_failed", "perhaps"), 1),
    row("fault: half an answer", { kind: "truncate" }, failed("bad_response", "answered"), 1),
    { ...row("fault: no answer", { kind: "hang" }, failed("timed_out", "perhaps"), 0), timeoutMs: HANG_TIMEOUT_MS },
    {
      ...row("fault: no answer, and billed", { kind: "hang", billed: true }, failed("timed_out", "perhaps"), 1),
      timeoutMs: HANG_TIMEOUT_MS,
    },
    {
      ...row("fault: a trickle of bytes", { kind: "trickle", bytesPerS: 20 }, failed("timed_out", "answered"), 1),
      timeoutMs: HANG_TIMEOUT_MS,
    },
    row("fault: no usage", { kind: "wrong_usage", how: "missing" }, answered({ suspect: false }), 1),
    row("fault: negative usage", { kind: "wrong_usage", how: "negative" }, answered({ suspect: true }), 1),
    row("fault: huge usage", { kind: "wrong_usage", how: "huge" }, answered({ suspect: true }), 1),
    row("fault: usage that is no number", { kind: "wrong_usage", how: "not_a_number" }, answered({ suspect: true }), 1),
    row("fault: an answer without a word", { kind: "empty_answer" }, answered({ empty: true }), 1),
    row("fault: a refusal", { kind: "refusal" }, answered({ finishReason: refused }), 1),
  ];
  if (provider.kind === "openai-compatible") return rows;
  return [...rows, row("fault: another model answers", { kind: "wrong_model" }, answered({ suspect: false }), 1)];
}
