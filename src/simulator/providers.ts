import { anthropic } from "./anthropic/provider.js";
import { compatibleProvider } from "./compatible/flavour.js";
import { llamaCpp } from "./compatible/llama-cpp.js";
import { ollama } from "./compatible/ollama.js";
import { vllm } from "./compatible/vllm.js";
import type { ProviderApi } from "./engine/provider-api.js";
import { gemini } from "./gemini/provider.js";
import { openai } from "./openai/provider.js";

/** The providers that one simulator plays; the first answers calls to paths that no provider claims. */
export function providers(): readonly ProviderApi[] {
  return [openai, anthropic, gemini(), ...[vllm, llamaCpp, ollama].map(compatibleProvider)];
}
