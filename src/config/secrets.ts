import { matchesPattern, type ConfigPath } from "./config-path.js";
import { isReference } from "./interpolate.js";

/** Places that hold a secret as a whole: written as `${…}` only, shown as `***`. */
const SECRET_PATTERNS = [
  "kafka.sasl.password",
  "registry.password",
  "providers.*.apiKey",
  "providers.*.apiKey.*",
  "alerts.webhook.secret",
];
/** URL schemes whose user-info part may hold a password. */
const URL_PASSWORD = /^([a-z][a-z0-9+.-]*:\/\/[^/?#:@\s]*):([^@/?#\s]*)@/i;
const URL_SECRET_PARAMETER = /([?&](?:password|sslpassword|token|key|api_key|apikey)=)([^&#\s]*)/gi;
export const MASK = "***";

export function isSecretPath(path: ConfigPath): boolean {
  return SECRET_PATTERNS.some((pattern) => matchesPattern(path, pattern));
}

/** What is wrong with a text as it stands in the file, before `${…}` is replaced; null when it gives no secret away. */
export function secretProblem(path: ConfigPath, written: string): string | null {
  if (isSecretPath(path)) {
    return isReference(written)
      ? null
      : "a secret must not stand in the file; write ${NAME} or ${file:/run/secrets/name}";
  }
  const password = URL_PASSWORD.exec(written)?.[2];
  const inParameter = [...written.matchAll(URL_SECRET_PARAMETER)].some((match) => !isReference(match[2] ?? ""));
  if ((password !== undefined && password !== "" && !isReference(password)) || inParameter) {
    return "a password must not stand in the file; write ${NAME} in its place, or the whole URL as ${NAME}";
  }
  return null;
}

/** A copy for people's eyes: secrets and passwords in URLs replaced, amounts as text. */
export function masked(value: unknown, path: ConfigPath = []): unknown {
  if (typeof value === "string") return isSecretPath(path) ? MASK : maskUrl(value);
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map((item, index) => masked(item, [...path, index]));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, masked(item, [...path, key])]));
}

function maskUrl(text: string): string {
  return text.replace(URL_PASSWORD, `$1:${MASK}@`).replace(URL_SECRET_PARAMETER, `$1${MASK}`);
}
