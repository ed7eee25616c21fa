import type { RequestFormat } from "../../../domain/job/job.js";
import type { BatchLineRequest, EncodedLine } from "../../../ports/batch-provider.js";
import { lineBody } from "../batch-line.js";
import { parseJsonObject } from "../json-object.js";
import type { WireFormat } from "../wire-format.js";
import { OPENAI_BATCH_RULES } from "./batch-rules.js";

/** The endpoint of a batch and of each of its lines: the path at OpenAI, whatever the account's base URL is. */
const ENDPOINTS: Readonly<Partial<Record<RequestFormat, string>>> = {
  "openai.chat": "/v1/chat/completions",
  "openai.embeddings": "/v1/embeddings",
};

/** @throws RangeError for a format that no line has. */
export function endpointOf(lineFormat: RequestFormat): string {
  const endpoint = ENDPOINTS[lineFormat];
  if (endpoint === undefined) throw new RangeError(`no batch endpoint takes ${lineFormat}`);
  return endpoint;
}

/** `{"custom_id","method","url","body"}`. Source: OpenAI batch guide, 2026-08. */
export function toOpenaiBatchLine(wire: WireFormat, line: BatchLineRequest): EncodedLine {
  const carried = lineBody(line, wire, OPENAI_BATCH_RULES.formats);
  if (carried.kind === "not_carried") return carried;
  const { lineFormat, bodyText } = carried;
  const head = `{"custom_id":${JSON.stringify(line.attemptId)},"method":"POST","url":"${endpointOf(lineFormat)}"`;
  const embeddingInputs = lineFormat === "openai.embeddings" ? inputsOf(bodyText) : 0;
  return { kind: "encoded", bytes: Buffer.from(`${head},"body":${bodyText}}`), lineFormat, embeddingInputs };
}

/** `input` is a text, a list of texts, a list of tokens or a list of such lists. */
function inputsOf(bodyText: string): number {
  const input = parseJsonObject(bodyText)?.["input"];
  if (!Array.isArray(input)) return 1;
  return typeof input[0] === "number" ? 1 : Math.max(1, input.length);
}
