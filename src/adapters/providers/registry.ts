import type { KindFacts } from "../../domain/route/kind-facts.js";
import type { ProviderKind } from "../../domain/route/route.js";
import type { BatchProvider } from "../../ports/batch-provider.js";
import type { Provider } from "../../ports/provider.js";
import { ANTHROPIC } from "./anthropic/facts.js";
import type { BatchSettings } from "./batch-http.js";
import { COMPATIBLE } from "./compatible/facts.js";
import type { ProviderSettings } from "./direct-call.js";
import { GEMINI } from "./gemini/facts.js";
import { GROQ } from "./groq/facts.js";
import { OPENAI } from "./openai/facts.js";

/** What a provider's folder must offer. */
export interface ProviderCode {
  /** The direct side of one account, with sockets of its own. @throws TypeError for a `baseUrl` that is missing or no URL. */
  readonly createDirect: (settings: ProviderSettings) => Provider;
}

/** What a provider's folder must offer for batches. */
export interface BatchCode {
  /** The batch side of one account, with sockets of its own. @throws TypeError as `createDirect`. */
  createBatch(settings: BatchSettings): BatchProvider;
}

interface RegistryLine {
  readonly facts: KindFacts;
  /** Loaded when an account of the kind is opened: commands that call nobody don't wait for an HTTP client. */
  readonly code: () => Promise<ProviderCode>;
  /** Null: it has no batch API, or its adapter has no batch side yet. */
  readonly batch: (() => Promise<BatchCode>) | null;
}

/** Every kind of provider, a line each: all else follows from it (the config's words, routes, prices). How to add one: README.md. */
const PROVIDERS: readonly RegistryLine[] = [
  {
    facts: OPENAI,
    code: () => import("./openai/openai-provider.js"),
    batch: () => import("./openai/openai-batch-provider.js"),
  },
  {
    facts: ANTHROPIC,
    code: () => import("./anthropic/anthropic-provider.js"),
    batch: () => import("./anthropic/anthropic-batch-provider.js"),
  },
  {
    facts: GEMINI,
    code: () => import("./gemini/gemini-provider.js"),
    batch: () => import("./gemini/gemini-batch-provider.js"),
  },
  { facts: GROQ, code: () => import("./groq/groq-provider.js"), batch: null },
  { facts: COMPATIBLE, code: () => import("./compatible/compatible-provider.js"), batch: null },
];

export const PROVIDER_KINDS: readonly KindFacts[] = PROVIDERS.map(({ facts }) => facts);

/** @throws RangeError for a kind that is not in the registry, which the config does not let through. */
export function kindFacts(kind: ProviderKind): KindFacts {
  return lineOf(kind).facts;
}

/**
 * Opens the adapter of one account. `close` cuts what is in the air.
 * @throws TypeError for an account that needs a `baseUrl` and has none, or one that is no URL (the config check refuses both before).
 */
export async function openProvider(kind: ProviderKind, settings: ProviderSettings): Promise<Provider> {
  const { createDirect } = await lineOf(kind).code();
  return createDirect(settings);
}

/** The batch side of one account; null for a kind without one. @throws TypeError as `openProvider`. */
export async function openBatchProvider(kind: ProviderKind, settings: BatchSettings): Promise<BatchProvider | null> {
  const code = await lineOf(kind).batch?.();
  return code === undefined ? null : code.createBatch(settings);
}

function lineOf(kind: ProviderKind): RegistryLine {
  const line = PROVIDERS.find(({ facts }) => facts.kind === kind);
  if (line === undefined) throw new RangeError(`The registry of providers has no ${kind}.`);
  return line;
}
