import type { IncomingHttpHeaders } from "node:http";
import type { Refusal } from "../engine/refusal.js";
import { invalid } from "./errors.js";

/** Source: providers.md 4.1, read 2026-11-24. */
const VERSIONS: readonly string[] = ["2023-06-01", "2026-10-21"];

/** The version of the API that a call was written for; every call names it. */
export function versionOf(headers: IncomingHttpHeaders): { readonly version: string } | { readonly refusal: Refusal } {
  const version = headers["anthropic-version"];
  if (typeof version !== "string") return { refusal: invalid("anthropic-version: header is required") };
  if (VERSIONS.includes(version)) return { version };
  return { refusal: invalid(`anthropic-version: "${version}" is not a valid version`) };
}

export function versionProblem(headers: IncomingHttpHeaders): Refusal | null {
  const version = versionOf(headers);
  return "refusal" in version ? version.refusal : null;
}
