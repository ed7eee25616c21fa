import { createHash } from "node:crypto";
import type { RequestFormat } from "../domain/job/job.js";

/** Reads answers by their documented shapes, apart from the product's own readers. */

type Json = Readonly<Record<string, unknown>>;

export interface SaidByAnswer {
  readonly text: string;
  readonly tools: readonly { readonly name: string; readonly given: unknown }[];
  readonly vectors: readonly (readonly unknown[])[];
}

export function readAnswer(format: RequestFormat, bodyText: string): SaidByAnswer {
  const body = objectOf(JSON.parse(bodyText));
  const read = READERS[format];
  if (read === undefined) throw new RangeError(`the matrix has no rows of ${format}`);
  return read(body);
}

const READERS: Readonly<Partial<Record<RequestFormat, (body: Json) => SaidByAnswer>>> = {
  "openai.chat": fromOpenai,
  "anthropic.messages": fromAnthropic,
  "gemini.generate": fromGemini,
  "openai.embeddings": (body) => vectorsOnly(listOf(body["data"]).map((one) => listOf(objectOf(one)["embedding"]))),
  "gemini.embed": (body) => vectorsOnly([listOf(objectOf(body["embedding"])["values"])]),
};

function vectorsOnly(vectors: SaidByAnswer["vectors"]): SaidByAnswer {
  return { text: "", tools: [], vectors };
}

/** By the rule of the simulator's README: the texts of the prompt in order, joined by a line feed. */
export function promptDigest(texts: readonly string[]): string {
  return createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 32);
}

function fromOpenai(body: Json): SaidByAnswer {
  const message = objectOf(objectOf(listOf(body["choices"])[0])["message"]);
  return {
    text: textOf(message["content"]),
    tools: listOf(message["tool_calls"]).map((call) => {
      const called = objectOf(objectOf(call)["function"]);
      return { name: textOf(called["name"]), given: JSON.parse(textOf(called["arguments"])) as unknown };
    }),
    vectors: [],
  };
}

function fromAnthropic(body: Json): SaidByAnswer {
  const blocks = listOf(body["content"]).map(objectOf);
  return {
    text: blocks.map((block) => textOf(block["text"])).join(""),
    tools: blocks
      .filter((block) => block["type"] === "tool_use")
      .map((block) => ({ name: textOf(block["name"]), given: block["input"] })),
    vectors: [],
  };
}

function fromGemini(body: Json): SaidByAnswer {
  const content = objectOf(objectOf(listOf(body["candidates"])[0])["content"]);
  const parts = listOf(content["parts"]).map(objectOf);
  return {
    text: parts
      .filter((part) => part["thought"] !== true)
      .map((part) => textOf(part["text"]))
      .join(""),
    tools: parts
      .filter((part) => "functionCall" in part)
      .map((part) => {
        const call = objectOf(part["functionCall"]);
        return { name: textOf(call["name"]), given: call["args"] };
      }),
    vectors: [],
  };
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null ? (value as Json) : {}; // a wrong shape reads as empty, and fails the row
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
