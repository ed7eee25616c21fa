import type { EmbeddingRequest } from "../embedding.js";
import { isJsonList } from "../json.js";
import type { Json } from "../json.js";
import { readMembers } from "../members.js";
import type { Members } from "../members.js";
import type { Reasons } from "../reasons.js";

/** The body of `POST /embeddings`. Source: OpenAI API specification, CreateEmbeddingRequest, 2026-08-21. */
export function readOpenaiEmbeddingRequest(body: Json, reasons: Reasons): EmbeddingRequest | null {
  return readMembers(body, "", reasons, readBody);
}

function readBody(members: Members): EmbeddingRequest {
  const input = members.take("input");
  const encoding = members.text("encoding_format") ?? "float";
  if (encoding !== "float" && encoding !== "base64") members.reasons.missing(`encoding_format ${encoding}`);
  return {
    model: members.text("model"),
    inputs: readInputs(input, members.reasons),
    isSingle: typeof input === "string",
    dimensions: members.number("dimensions"),
    inBase64: encoding === "base64",
    endUser: members.text("user"),
  };
}

/** An input of token numbers means something only to the model whose tokens they are. */
function readInputs(input: Json | undefined, reasons: Reasons): readonly string[] {
  const inputs = isJsonList(input) ? input : [input];
  const texts = inputs.filter((one) => typeof one === "string");
  if (texts.length < inputs.length) reasons.missing("input other than text");
  return texts;
}
