import { PROVIDER_BATCH_STATES } from "../../domain/batch/provider-batch.js";
import type { ProviderBatch } from "../../domain/batch/provider-batch.js";
import type { CallLimits, CancelReply, DeletedReply, EraseReply, GetReply } from "../../ports/batch-provider.js";
import type { BatchHttp } from "./batch-http.js";
import type { HttpReply } from "./http.js";
import { isJsonObject } from "./json-object.js";
import type { JsonObject } from "./json-object.js";

/** What the answers of all providers have in common, call by call. */

export type FromBatch = (body: JsonObject) => ProviderBatch | null;
export type IsAbsent = (reply: HttpReply) => boolean;

/** Several calls under one deadline: what is left of it, at each call. */
export function timeLeft({ timeoutMs }: CallLimits): () => CallLimits {
  const startedMs = performance.now();
  return () => ({ timeoutMs: Math.max(0, timeoutMs - (performance.now() - startedMs)) });
}

export function isStatus(reply: HttpReply, ...statuses: readonly number[]): boolean {
  return reply.kind === "answer" && statuses.includes(reply.status);
}

/** The usual way to say that there is no such thing. */
export const isNotFound: IsAbsent = (reply) => isStatus(reply, 404, 410);

export function getReply(http: BatchHttp, reply: HttpReply, fromBatch: FromBatch): GetReply {
  if (isNotFound(reply)) return { kind: "absent" };
  const read = http.read(reply, "batch", fromBatch);
  return read.kind === "failed" ? read : { kind: "batch", batch: read.value };
}

/** A page of a list in the frame that most use. Null: it is none. */
export function pageOf<Item>(
  body: JsonObject,
  name: string,
  read: (item: JsonObject) => Item | null,
): { readonly items: readonly Item[]; readonly hasMore: boolean } | null {
  const data = body[name];
  if (!Array.isArray(data)) return null;
  return { items: data.filter(isJsonObject).flatMap((one) => read(one) ?? []), hasMore: body["has_more"] === true };
}

/** @param look at the batch: what a provider answers when there is nothing left to cancel is documented nowhere. */
export async function cancelReply(
  http: BatchHttp,
  reply: HttpReply,
  fromBatch: FromBatch,
  look: () => Promise<GetReply>,
): Promise<CancelReply> {
  if (isNotFound(reply)) return { kind: "absent" };
  if (isStatus(reply, 400, 409, 422)) {
    const seen = await look();
    return seen.kind === "batch" && hasEnded(seen.batch) ? { kind: "ended" } : http.failureOf(reply);
  }
  const got = http.bodyOf(reply);
  if (got.kind === "failed") return got;
  const batch = fromBatch(got.body);
  return { kind: batch !== null && hasEnded(batch) ? "ended" : "cancelling" };
}

function hasEnded({ state }: ProviderBatch): boolean {
  return PROVIDER_BATCH_STATES[state].ended;
}

export function deletedReply(http: BatchHttp, reply: HttpReply, isAbsent: IsAbsent): DeletedReply {
  if (isAbsent(reply)) return { kind: "absent" };
  const got = http.bodyOf(reply);
  return got.kind === "failed" ? got : { kind: "deleted" };
}

/** Deletes one after the other, up to the first that fails; what is not there any more is fine. */
export async function eraseAll(deletions: readonly (() => Promise<DeletedReply>)[]): Promise<EraseReply> {
  for (const deletion of deletions) {
    const reply = await deletion(); // one after the other: a provider's limit counts deletions too
    if (reply.kind === "failed") return reply;
  }
  return { kind: "erased" };
}
