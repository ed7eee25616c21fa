import { types } from "node:util";
import { ConfigError } from "../config/config-error.js";

/** What the process's end says to scripts (contract.md, "Commands"). */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  config: 3,
  unreachable: 4,
  notPermitted: 5,
  partly: 6,
  notFound: 7,
  planHasChanges: 8,
  interrupted: 130,
  terminated: 143,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command that ends with a code of its own; the message says what was expected, what came, what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** Errors of the system and of Postgres that mean "nobody answers there". */
const UNREACHABLE_CODES = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
  "57P03",
  "08006",
  "08001",
]);
const NOT_PERMITTED_CODES = new Set(["28P01", "28000", "42501"]);
const UNREACHABLE_NAMES = new Set([
  "DependencyError",
  "RegistryUnavailableError",
  "ServerUnreachableError",
  "KafkaJSConnectionError",
  "KafkaJSRequestTimeoutError",
  "KafkaJSBrokerNotFound",
  "KafkaJSConnectionClosedError",
]);
const SCHEMA_NAMES = new Set(["SchemaMissingError"]);
const NOT_PERMITTED_NAMES = new Set(["KafkaJSSASLAuthenticationError"]);
const NOT_PERMITTED_KAFKA_TYPE = /_AUTHORIZATION_FAILED$/;
const CAUSES_MAX = 10;

/** The code for an error, from the first of its causes that says something. */
export function exitCodeOf(error: unknown): ExitCode {
  for (const cause of causesOf(error)) {
    if (cause instanceof CommandError) return cause.exitCode;
    if (cause instanceof ConfigError) return EXIT.config;
    const { name } = cause;
    const code = stringField(cause, "code") ?? "";
    if (NOT_PERMITTED_CODES.has(code) || NOT_PERMITTED_NAMES.has(name)) return EXIT.notPermitted;
    if (NOT_PERMITTED_KAFKA_TYPE.test(stringField(cause, "type") ?? "")) return EXIT.notPermitted;
    if (SCHEMA_NAMES.has(name)) return EXIT.config;
    if (UNREACHABLE_CODES.has(code) || UNREACHABLE_NAMES.has(name)) return EXIT.unreachable;
  }
  return EXIT.failed;
}

function causesOf(error: unknown): readonly Error[] {
  const found: Error[] = [];
  const open: unknown[] = [error];
  while (open.length > 0 && found.length < CAUSES_MAX) {
    const next = open.shift();
    if (!types.isNativeError(next)) continue;
    found.push(next);
    // Several addresses of one host fail together as an AggregateError.
    open.push(...partsOf(next));
    open.push(next.cause);
  }
  return found;
}

function stringField(error: Error, field: "code" | "type"): string | null {
  const value: unknown = Object.getOwnPropertyDescriptor(error, field)?.value;
  return typeof value === "string" ? value : null;
}

/** The errors that one error stands for; none when it stands for itself. */
function partsOf(error: Error): readonly unknown[] {
  const parts: unknown = Object.getOwnPropertyDescriptor(error, "errors")?.value;
  return Array.isArray(parts) ? (parts as readonly unknown[]) : [];
}

/** The error's own words; of several that came together, each once. */
export function errorText(error: unknown): string {
  if (!types.isNativeError(error)) return String(error);
  const parts = partsOf(error);
  return error.message === "" && parts.length > 0 ? [...new Set(parts.map(errorText))].join("; ") : error.message;
}

/** A number that another program part ended with, as one of our codes; an unknown one is a failure. */
export function exitCodeFrom(code: number): ExitCode {
  return Object.values(EXIT).find((known) => known === code) ?? EXIT.failed;
}
