import type { ErrorRow } from "../error-table.js";

/**
 * Rows before those of OpenAI. Servers of one's own say less: vLLM names a too long prompt only in its message, llama.cpp by type; Ollama
 * answers 404 for a model that was not pulled, and 503 "server busy" beyond its queue, without a code.
 */
export const COMPATIBLE_ERRORS: readonly ErrorRow[] = [
  {
    status: 400,
    words: ["exceed_context_size_error"],
    outcome: "context_too_long",
    says: "the prompt is longer than the server's window",
  },
  {
    status: 400,
    message: /maximum (?:context|model) length|exceeds the (?:available )?context/i,
    outcome: "context_too_long",
    says: "the prompt is longer than the server's window",
  },
  {
    status: 404,
    outcome: "auth_failed",
    says: "the server does not know the model or the path; check baseUrl and the model's name",
  },
  { status: 501, outcome: "auth_failed", says: "the server was started without support for this" },
  {
    status: 503,
    words: ["unavailable_error"],
    outcome: "overloaded",
    says: "the server is still loading its model",
  },
];
