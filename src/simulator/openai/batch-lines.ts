/** The lines of OpenAI's batches: what a request line must be, and what result lines look like. */
import { createHash } from "node:crypto";
import type {
  BatchApi,
  BatchDetails,
  BatchLine,
  BatchProblem,
  InputProblem,
  LineOutcome,
} from "../engine/batch-api.js";
import type { DirectOperation } from "../engine/direct-operation.js";
import { asList, isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import { openaiChat } from "./chat.js";
import { openaiEmbeddings } from "./embeddings.js";
import { errorBody, refusalFor } from "./errors.js";
import { BATCH_FILE_KEPT_MS, newFileId } from "./files.js";

const WINDOW_MS = 86_400_000;
const LINES_MAX = 50_000;
const LINE_FIELDS = ["custom_id", "method", "url", "body"] as const;

/** What a batch's endpoint runs. */
export const BATCH_ENDPOINTS: ReadonlyMap<string, DirectOperation> = new Map(
  [openaiChat, openaiEmbeddings].map((operation) => [operation.path, operation]),
);

type LineRead = ReturnType<BatchApi["readLine"]>;

function unreadable(customId: string | null, code: string, message: string, param: string | null = null): LineRead {
  return { unreadable: { customId, problem: { code, message, param }, refusal: refusalFor(400, message) } };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readLine(text: string, details: BatchDetails): LineRead {
  const line = parsed(text);
  if (!isObject(line)) return unreadable(null, "invalid_json_line", "This line is not parseable as valid JSON.");
  const id = line["custom_id"];
  const customId = typeof id === "string" ? id : null;
  const missing = LINE_FIELDS.find((name) => !Object.hasOwn(line, name));
  if (missing !== undefined)
    return unreadable(customId, "missing_required_parameter", `Missing required parameter: '${missing}'.`, missing);
  const unknown = Object.keys(line).find((name) => !LINE_FIELDS.some((field) => field === name));
  if (unknown !== undefined)
    return unreadable(customId, "unknown_parameter", `Unknown parameter: '${unknown}'.`, unknown);
  if (customId === null || customId === "")
    return unreadable(null, "invalid_custom_id", "The 'custom_id' must be a string that is not empty.", "custom_id");
  if (line["method"] !== "POST")
    return unreadable(customId, "invalid_method", "The 'method' must be 'POST'.", "method");
  if (line["url"] !== details["endpoint"])
    return unreadable(customId, "url_mismatch", "The URL of this request does not match the batch endpoint.", "url");
  return readBody(customId, line["body"], details);
}

function readBody(customId: string, body: unknown, details: BatchDetails): LineRead {
  if (!isObject(body)) return unreadable(customId, "invalid_request", "The 'body' must be an object.", "body");
  if (body["stream"] === true)
    return unreadable(customId, "invalid_request", "Streaming is not supported in batches.", "body.stream");
  if (typeof body["model"] !== "string")
    return unreadable(
      customId,
      "missing_required_parameter",
      "Missing required parameter: 'body.model'.",
      "body.model",
    );
  const operation = BATCH_ENDPOINTS.get(String(details["endpoint"]));
  if (operation === undefined) throw new Error(`expected a batch endpoint, got ${String(details["endpoint"])}`);
  const line: BatchLine = {
    customId,
    operation,
    request: { headers: {}, params: {}, body },
    units: unitsOf(operation, body),
  };
  return { line };
}

/** Inputs of an embedding call count, not calls. */
function unitsOf(operation: DirectOperation, body: JsonObject): number {
  if (operation !== openaiEmbeddings) return 1;
  const inputs = asList(body["input"]);
  return typeof inputs[0] === "string" || Array.isArray(inputs[0]) ? inputs.length : 1;
}

function problemOf(problem: InputProblem): BatchProblem {
  const whole = { param: null, line: null };
  switch (problem.kind) {
    case "empty":
      return { ...whole, code: "empty_file", message: "The input file has no lines." };
    case "too_many_lines":
      return {
        ...whole,
        code: "too_many_tasks",
        message: `The input file has more than ${String(problem.linesMax)} requests.`,
      };
    case "repeated_id":
      return {
        code: "duplicate_custom_id",
        message: `The custom_id '${problem.customId}' was used before.`,
        param: "custom_id",
        line: problem.line,
      };
    case "other_model":
      return {
        code: "model_mismatch",
        message: `All requests of a batch must name one model: '${problem.model}' is not '${problem.first}'.`,
        param: "body.model",
        line: problem.line,
      };
    case "refused":
      return {
        code: problem.refusal.code ?? "invalid_request",
        message: problem.refusal.message,
        param: "body.model",
        line: problem.line,
      };
    case "queue_full":
      return {
        ...whole,
        code: "token_limit_exceeded",
        message: `Enqueued token limit reached for ${problem.model}. Limit: ${String(problem.tokensMax)} enqueued tokens.`,
      };
  }
}

const NEVER_RAN = {
  expired: {
    code: "batch_expired",
    message: "This request could not be executed before the completion window expired.",
  },
  cancelled: { code: "batch_cancelled", message: "This request was cancelled before it was executed." },
} as const;

function resultOf(outcome: LineOutcome): { readonly file: "output" | "error"; readonly text: string } {
  const id = `batch_req_${createHash("sha256").update(outcome.requestId).digest("hex").slice(0, 32)}`;
  const head = `{"id":"${id}","custom_id":${JSON.stringify(outcome.customId)}`;
  switch (outcome.kind) {
    case "succeeded": {
      const response = `{"status_code":200,"request_id":"${outcome.requestId}","body":${outcome.bodyText}}`;
      return { file: "output", text: `${head},"response":${response},"error":null}` };
    }
    case "refused": {
      const { refusal, requestId } = outcome;
      const response = { status_code: refusal.status, request_id: requestId, body: errorBody(refusal) };
      return { file: "error", text: `${head},"response":${JSON.stringify(response)},"error":null}` };
    }
    case "expired":
    case "cancelled":
      return { file: "error", text: `${head},"response":null,"error":${JSON.stringify(NEVER_RAN[outcome.kind])}}` };
  }
}

export const openaiBatchApi: BatchApi = {
  name: "openai.batches",
  provider: "openai",
  windowMs: WINDOW_MS,
  linesMax: LINES_MAX,
  oneModel: true,
  uniqueIds: true,
  unreadableRefusesBatch: true,
  refusesBatch: (refusal) => refusal.code === "model_not_found",
  expiredKeepsResults: true,
  readLine,
  problemOf,
  refusalFor,
  resultOf,
  resultFile: (file, batchId, { outputKeptMs }) => ({
    id: newFileId(),
    details: { purpose: "batch_output", filename: `${batchId}_${file}.jsonl` },
    keptMs: typeof outputKeptMs === "number" ? outputKeptMs : BATCH_FILE_KEPT_MS,
    listed: true,
  }),
};
