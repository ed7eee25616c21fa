/** Google's Gemini API: its key, errors and calls. It sends no rate headers and no Retry-After; waits stand in the error's details. */
import type { IncomingHttpHeaders } from "node:http";
import type { RetryAfterForm } from "../engine/fault-rules.js";
import type { EngineParts, Operation } from "../engine/operation.js";
import type { ProviderApi } from "../engine/provider-api.js";
import type { Refusal } from "../engine/refusal.js";
import { batchApi, batchOperations } from "./batches.js";
import { countTokensOperation } from "./count-tokens.js";
import { batchEmbedContents, embedContent } from "./embed-content.js";
import { NO_KEY, WRONG_KEY, errorBody, geminiError, quotaExhausted } from "./errors.js";
import { fileOperations } from "./files.js";
import { generateContent } from "./generate-content.js";
import { modelOperations } from "./models.js";
import { Uploads } from "./uploads.js";

const ABSURD_WAIT_MS = 10 * 24 * 3_600_000;
const PREFIX = /^\/(?:upload\/|download\/)?v1beta\//;

/** The key comes as x-goog-api-key or as `key` in the address; the address of an upload stands for the key that started it. */
function readKey(
  headers: IncomingHttpHeaders,
  url: string,
  uploads: Uploads,
): { readonly key: string } | { readonly refusal: Refusal } {
  const own = headers["x-goog-api-key"];
  if (typeof own === "string" && own !== "") return { key: own };
  const query = new URLSearchParams(url.slice(url.indexOf("?") + 1));
  const key = query.get("key") ?? uploads.find(query.get("upload_id") ?? "")?.key ?? "";
  return key === "" ? { refusal: NO_KEY } : { key };
}

/** How long to wait, in the details; "missing" leaves all details out, as under shared capacity. */
function rateRefusal(retryAfterMs: number, form: RetryAfterForm): Refusal {
  if (form === "missing") return geminiError(429, "Resource has been exhausted (e.g. check quota).");
  return quotaExhausted("GenerateRequestsPerMinute", form === "absurd" ? ABSURD_WAIT_MS : retryAfterMs);
}

/** A path that is known with another method is, to this API, no path at all. */
function refusalFor(status: number, message: string): Refusal {
  return status === 405 ? geminiError(404, "Method not found.") : geminiError(status, message);
}

function operations(parts: EngineParts, uploads: Uploads): readonly Operation[] {
  return [
    countTokensOperation(parts),
    ...batchOperations(parts),
    ...modelOperations(parts),
    ...fileOperations(parts, uploads),
  ];
}

/** One for each server, since addresses of uploads are remembered. */
export function gemini(): ProviderApi {
  const uploads = new Uploads();
  return {
    name: "gemini",
    requestIdHeader: null,
    readKey: (headers, url) => readKey(headers, url, uploads),
    wrongKey: WRONG_KEY,
    quotaGone: quotaExhausted("GenerateRequestsPerDay", ABSURD_WAIT_MS),
    refusalFor,
    errorBody,
    rateRefusal: (rates, form) => rateRefusal(rates.retryAfterMs, form),
    rateHeaders: () => [],
    claims: (path, headers) => PREFIX.test(path) || headers["x-goog-api-key"] !== undefined,
    direct: [generateContent, embedContent, batchEmbedContents],
    operations: (parts) => operations(parts, uploads),
    batchApis: [batchApi],
  };
}
