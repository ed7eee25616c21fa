import type { RequestFormat } from "../job/job.js";

/** In the words of the price table, where a model says which of the two it does. A provider has an endpoint for each. */
export type FormatFamily = "chat" | "embeddings";

export const FORMAT_FAMILIES = ["chat", "embeddings"] as const satisfies readonly FormatFamily[];

/** A job of one format can be served in another of the same family. */
const FAMILIES: Readonly<Record<RequestFormat, FormatFamily>> = {
  "openai.chat": "chat",
  "openai.responses": "chat",
  "openai.embeddings": "embeddings",
  "anthropic.messages": "chat",
  "gemini.generate": "chat",
  "gemini.embed": "embeddings",
  "cohere.chat": "chat",
  "cohere.embed": "embeddings",
};

export function familyOf(format: RequestFormat): FormatFamily {
  return FAMILIES[format];
}

/** The format in which a provider that speaks `spoken` can serve a job: the job's own, else one of its family; null when there is none. */
export function spokenFormat(asked: RequestFormat, spoken: readonly RequestFormat[]): RequestFormat | null {
  if (spoken.includes(asked)) return asked;
  return spoken.find((format) => familyOf(format) === familyOf(asked)) ?? null;
}
