import type { RequestFormat } from "../job/job.js";

type FormatFamily = "chat" | "embedding";

/** A job of one format can be served in another of the same family. */
const FAMILIES: Readonly<Record<RequestFormat, FormatFamily>> = {
  "openai.chat": "chat",
  "openai.responses": "chat",
  "openai.embeddings": "embedding",
  "anthropic.messages": "chat",
  "gemini.generate": "chat",
  "gemini.embed": "embedding",
  "cohere.chat": "chat",
  "cohere.embed": "embedding",
};

export function familyOf(format: RequestFormat): FormatFamily {
  return FAMILIES[format];
}

/** The format in which a provider that speaks `spoken` can serve a job: the job's own, else one of its family; null when there is none. */
export function spokenFormat(asked: RequestFormat, spoken: readonly RequestFormat[]): RequestFormat | null {
  if (spoken.includes(asked)) return asked;
  return spoken.find((format) => familyOf(format) === familyOf(asked)) ?? null;
}
