import type { RequestFormat } from "../job/job.js";
import { ANTHROPIC_MESSAGES } from "./anthropic-messages/anthropic-messages.js";
import type { ChatFormat } from "./chat-format.js";
import type { EmbeddingFormat } from "./embedding.js";
import { GEMINI_EMBED } from "./gemini-embed/gemini-embed.js";
import { GEMINI_GENERATE } from "./gemini-generate/gemini-generate.js";
import { OPENAI_CHAT } from "./openai-chat/openai-chat.js";
import { OPENAI_EMBEDDINGS } from "./openai-embeddings/openai-embeddings.js";

/** The formats that are carried, by family; a job goes to any provider that speaks one of the same family. */
export const CHAT_FORMATS: Readonly<Partial<Record<RequestFormat, ChatFormat>>> = {
  "openai.chat": OPENAI_CHAT,
  "anthropic.messages": ANTHROPIC_MESSAGES,
  "gemini.generate": GEMINI_GENERATE,
};

export const EMBEDDING_FORMATS: Readonly<Partial<Record<RequestFormat, EmbeddingFormat>>> = {
  "openai.embeddings": OPENAI_EMBEDDINGS,
  "gemini.embed": GEMINI_EMBED,
};
