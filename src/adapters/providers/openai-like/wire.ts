import { at, type WireFormat } from "../wire-format.js";
import type { ErrorRow } from "../error-table.js";
import { fromChat } from "./from-chat.js";
import { fromEmbeddings } from "./from-embeddings.js";
import { fromOpenaiLikeError, OPENAI_LIKE_ERRORS } from "./from-error.js";
import { openaiLikeRateLimits } from "./rate-headers.js";
import { toChat, type CapNames } from "./to-chat.js";
import { toEmbeddings } from "./to-embeddings.js";

/** In what a provider that speaks like OpenAI differs from it. */
interface Differences {
  readonly label: string;
  /** Null: the account must name its address. */
  readonly defaultBaseUrl: string | null;
  readonly cap: CapNames;
  /** Rows that stand before OpenAI's own. */
  readonly errors?: readonly ErrorRow[];
  readonly rateLimits?: WireFormat["rateLimits"];
}

/** The wire of OpenAI and of the many that speak like it: paths below `/v1`, a bearer key, `{"error":{…}}`. */
export function openaiLikeWire(own: Differences): WireFormat {
  return {
    label: own.label,
    defaultBaseUrl: own.defaultBaseUrl,
    requestIdHeader: "x-request-id",
    headers: (apiKey) => {
      const all = ["content-type", "application/json", "accept", "application/json"];
      return apiKey === null ? all : [...all, "authorization", `Bearer ${apiKey}`];
    },
    calls: {
      "openai.chat": {
        toRequest: (call) => at("/chat/completions", toChat(call, own.cap)),
        fromResponse: fromChat,
      },
      "openai.embeddings": { toRequest: (call) => at("/embeddings", toEmbeddings(call)), fromResponse: fromEmbeddings },
    },
    fromError: fromOpenaiLikeError,
    errors: own.errors === undefined ? OPENAI_LIKE_ERRORS : [...own.errors, ...OPENAI_LIKE_ERRORS],
    rateLimits: own.rateLimits ?? openaiLikeRateLimits,
  };
}
