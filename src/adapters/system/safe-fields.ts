/**
 * What a log line may hold. The log is read by many, kept for long and sent elsewhere: secrets, prompts and answers never belong in it.
 * Callers know that; this is the net below them.
 */

/** Compared without case, hyphens and underscores. */
const HIDDEN_NAMES = new Set([
  "apikey",
  "xapikey",
  "authorization",
  "proxyauthorization",
  "password",
  "secret",
  "token",
  "accesstoken",
  "cookie",
  "setcookie",
  "body",
  "bodytext",
  "bodyjson",
  "requestbody",
  "responsebody",
  "prompt",
  "messages",
  "content",
  "input",
  "output",
  "answer",
  "value",
]);
const HIDDEN = "[hidden]";
const TEXT_MAX = 2000;
const ITEMS_MAX = 50;
const DEPTH_MAX = 5;
/** The password in a URL, and what follows the word Bearer or a provider's key prefix. */
const SECRETS_IN_TEXT = [
  { pattern: /([a-z][a-z0-9+.-]*:\/\/[^/?#:@\s]*:)[^@/?#\s]+@/gi, replacement: "$1***@" },
  { pattern: /\b(Bearer\s+)[\w.~+/=-]{8,}/gi, replacement: "$1***" },
  { pattern: /\b(sk-)[\w-]{8,}/g, replacement: "$1***" },
] as const;

/** A plain copy that is safe to log: hidden names replaced, texts and lists cut, errors as name, code and message, amounts as text. */
export function safeFields(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return safeObject(fields, 0);
}

function safeObject(value: object, depth: number): Record<string, unknown> {
  const entries = Object.entries(value);
  const copy = Object.fromEntries(
    entries
      .slice(0, ITEMS_MAX)
      .map(([name, item]) => [
        name,
        isHidden(name) && item !== null && item !== undefined ? HIDDEN : safeValue(item, depth + 1),
      ]),
  );
  return entries.length > ITEMS_MAX ? { ...copy, left_out: entries.length - ITEMS_MAX } : copy;
}

function isHidden(name: string): boolean {
  return HIDDEN_NAMES.has(name.toLowerCase().replace(/[-_]/g, ""));
}

function safeValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return safeText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "function" || typeof value === "symbol") return typeof value;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return safeError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return `${String(value.byteLength)} bytes`;
  if (depth >= DEPTH_MAX) return "[deeper]";
  if (Array.isArray(value)) return value.slice(0, ITEMS_MAX).map((item) => safeValue(item, depth + 1));
  return safeObject(value, depth);
}

function safeError(error: Error, depth: number): Record<string, unknown> {
  const code: unknown = Object.getOwnPropertyDescriptor(error, "code")?.value;
  return {
    name: error.name,
    message: safeText(error.message),
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    stack: safeText(error.stack ?? ""),
    ...(error.cause === undefined || depth >= DEPTH_MAX ? {} : { cause: safeValue(error.cause, depth + 1) }),
  };
}

function safeText(text: string): string {
  const cut = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}… (${String(text.length)} characters)` : text;
  return SECRETS_IN_TEXT.reduce((safe, { pattern, replacement }) => safe.replace(pattern, replacement), cut);
}
