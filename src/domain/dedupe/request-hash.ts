import { hash } from "node:crypto";
import type { RoutePolicy } from "../job/job.js";
import type { RuleOutcome } from "../route/route-rules.js";

/**
 * Every hash of the core, and the only file of it that imports anything from outside (node:crypto).
 *
 * A hash says "the same" only if its input says it, so every input is written by `unambiguous`, which no two different
 * lists of parts share. All texts that come here are well-formed Unicode (intake refuses the rest), so UTF-8 adds no clash.
 */

/** A name that is stable for ever: namespace of every UUIDv5 made here. Drawn once at random. */
const UUID_NAMESPACE = Buffer.from("9f1d6a1e7c3b4d52a6c04be1f0d38a77", "hex");
const VARIANT_DIGITS = "89ab";
const ID_HASH_BYTES = 16;
const BODY_HASH_BYTES = 16;

/**
 * Writes a list of texts so that different lists never give the same text: each part is its length and itself, an absent
 * part is `~`, and the count comes first.
 */
export function unambiguous(parts: readonly (string | null)[]): string {
  let text = `${String(parts.length)};`;
  for (const part of parts) text += part === null ? "~" : `${String(part.length)}:${part}`;
  return text;
}

/** SHA-256 of a text's UTF-8, 32 bytes. */
export function sha256(text: string): Buffer {
  return Buffer.from(hash("sha256", text, "hex"), "hex"); // measured: half the time of asking for a Buffer at once
}

/** UUIDv5 (RFC 9562, section 5.5) of a list of parts in the project's own namespace. */
export function uuidV5(parts: readonly (string | null)[]): string {
  const name = unambiguous(parts);
  const named = Buffer.allocUnsafe(UUID_NAMESPACE.length + Buffer.byteLength(name));
  UUID_NAMESPACE.copy(named);
  named.write(name, UUID_NAMESPACE.length, "utf8");
  const hex = hash("sha1", named, "hex");
  // Version 5 is the thirteenth digit; the variant is the two highest bits of the seventeenth.
  const variant = VARIANT_DIGITS[Number.parseInt(hex.charAt(16), 16) & 3] ?? "8";
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** 16 bytes that stand for a job id in the ledger's unique index. */
export function jobIdHash(jobId: string): Buffer {
  return sha256(jobId).subarray(0, ID_HASH_BYTES);
}

/** What a request is: SHA-256 over format and canonical body. 32 bytes; the ledger keeps the first 16 as `bodyHash`. */
export function requestDigest(format: string, canonicalBody: string): Buffer {
  return sha256(unambiguous(["request.1", format, canonicalBody]));
}

export function bodyHashOf(digest: Buffer): Buffer {
  return digest.subarray(0, BODY_HASH_BYTES);
}

export interface ExecutionIdentity {
  readonly tenant: string;
  /** From `requestDigest`: stands for format and canonical body. */
  readonly requestDigest: Buffer;
  readonly sample: string | null;
  readonly policy: RoutePolicy;
  /** Changes when an alias, chain or anything else that routes changes in the config. */
  readonly configRevision: string;
}

/**
 * 32 bytes: jobs with equal keys may share one call. Deadline, priority, cost limit, labels and replyTo are left out on
 * purpose: they belong to the job (design.md, "Who joins what"). Sets are expected sorted, so that order means nothing.
 */
export function executionKey(identity: ExecutionIdentity): Buffer {
  const { policy } = identity;
  return sha256(
    unambiguous([
      "execution.1",
      identity.tenant,
      identity.requestDigest.toString("hex"),
      identity.sample,
      policy.model,
      identity.configRevision,
      policy.chain,
      policy.providers === null ? null : unambiguous(policy.providers),
      unambiguous(policy.capabilities),
      policy.regions === null ? null : unambiguous(policy.regions),
      flags([policy.selfHostedOnly, policy.expect.jsonSchema, policy.expect.notEmpty, policy.expect.complete]),
      policy.onDoubt,
      ...routingParts(policy),
    ]),
  );
}

/** Nothing for a policy that says nothing of these: the count comes first, so no other list of parts is the same. */
function routingParts({ allowed, rules, tier, maxLatencyMs }: RoutePolicy): readonly (string | null)[] {
  if (allowed === undefined && rules === undefined && tier === undefined && maxLatencyMs === undefined) return [];
  return [
    allowed === undefined ? null : unambiguous(allowed),
    rules === undefined ? null : unambiguous(rules.flatMap(ruleParts)),
    tier ?? null,
    maxLatencyMs === undefined ? null : String(maxLatencyMs),
  ];
}

function ruleParts({ rule, effect }: RuleOutcome): readonly (string | null)[] {
  const factor = effect.kind === "weight" ? String(effect.factor) : null;
  return [rule, effect.kind, unambiguous(effect.routes), factor];
}

function flags(values: readonly boolean[]): string {
  return values.map((value) => (value ? "1" : "0")).join("");
}
