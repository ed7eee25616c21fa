import { matchesPattern, type ConfigPath } from "./config-path.js";
import type { KnownKind } from "./schema.js";

/** Keys of the contract whose part of the gateway does not exist yet: refused by name, so that nobody believes they work. */
const KEYS = [
  "compression",
  "rollout",
  "events",
  "telemetry",
  "auth.signature",
  "auth.signatures",
  "models.*.candidates.*.weight",
  "cache.semantic",
];

/** Words of the contract that a key may hold later; a kind of provider counts until there is an adapter for it. */
const WORDS: readonly (readonly [pattern: string, words: readonly string[]])[] = [
  ["auth.tenantFrom", ["signature"]],
  ["providers.*.kind", ["azure", "gemini", "vertex", "mistral", "cohere", "bedrock", "groq", "together"]],
];

const TOPIC_NAMES = ["topics.jobs.*", "topics.jobs.*.name", "topics.*", "topics.*.name"];

/** Why the value at `path` is refused although the contract names it; null when it is not such a value. */
export function notBuilt(path: ConfigPath, value: unknown, kinds: readonly KnownKind[]): string | null {
  if (KEYS.some((pattern) => matchesPattern(path, pattern))) return "not built yet; leave it out";
  if (typeof value !== "string") return null;
  const words = WORDS.find(([pattern]) => matchesPattern(path, pattern))?.[1];
  const built = kinds.some(({ kind }) => kind === value);
  if (words?.includes(value) === true && !built) return `${value} is not built yet; leave it out`;
  if (value.includes("{tenant}") && TOPIC_NAMES.some((pattern) => matchesPattern(path, pattern))) {
    return "{tenant} in topic names is not built yet; name each topic";
  }
  return null;
}
