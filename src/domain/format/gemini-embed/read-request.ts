import type { EmbeddingRequest } from "../embedding.js";
import type { Json } from "../json.js";
import { readEach, readMembers } from "../members.js";
import type { Members } from "../members.js";
import type { Reasons } from "../reasons.js";
import { camelCase } from "../snake-case.js";

/**
 * The body of `POST /models/{model}:embedContent`, or of `:batchEmbedContents`, which holds a list of such bodies as `requests`.
 * Source: Gemini API reference, Embeddings, 2026-08.
 */
export function readGeminiEmbeddingRequest(body: Json, reasons: Reasons): EmbeddingRequest | null {
  return readMembers(body, "", reasons, readBody, camelCase);
}

function readBody(members: Members): EmbeddingRequest {
  const model = members.text("model");
  const requests = members.list("requests");
  if (requests.length === 0) return { ...requestOf(model, [readOne(members)], members.reasons), isSingle: true };
  const each = readEach(requests, "requests", members.reasons, readOne, camelCase);
  return requestOf(model, each, members.reasons);
}

interface OneInput {
  readonly text: string;
  readonly dimensions: number | null;
}

function readOne(members: Members): OneInput {
  members.ignore(["model"]);
  const text = readMembers(members.take("content"), members.where("content"), members.reasons, readText, camelCase);
  return { text: text ?? "", dimensions: members.number("outputDimensionality") };
}

/** What several parts in one content would be embedded as differs by model. */
function readText(content: Members): string {
  content.ignore(["role"]);
  const parts = readEach(
    content.list("parts"),
    content.where("parts"),
    content.reasons,
    (part) => part.text("text"),
    camelCase,
  );
  if (parts.length !== 1) content.reasons.missing("input of other than one text part");
  return parts[0] ?? "";
}

function requestOf(model: string | null, inputs: readonly OneInput[], reasons: Reasons): EmbeddingRequest {
  const dimensions = inputs[0]?.dimensions ?? null;
  if (inputs.some((one) => one.dimensions !== dimensions))
    reasons.missing("different dimensions for inputs of one call");
  const texts = inputs.map((one) => one.text);
  return { model, inputs: texts, isSingle: false, dimensions, inBase64: false, endUser: null };
}
