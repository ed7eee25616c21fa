import { createHash } from "node:crypto";
import type { Evidence, Violation } from "../evidence/evidence.js";
import { jobKey, jobsByKey, sourceOf } from "./lookups.js";
import { Violations } from "./violations.js";

/** What was published and what the ledger holds come to the same state: of each job how its newest generation ended, and what it cost each tenant. */
export function checkRebuild(evidence: Evidence): readonly Violation[] {
  const found = new Violations("rebuild");
  const [topics, ledger] = [fromTopics(evidence), fromLedger(evidence)];
  if (digestOf(topics) === digestOf(ledger)) return [];
  for (const key of new Set([...topics.keys(), ...ledger.keys()])) {
    const [told, kept] = [topics.get(key) ?? "nothing", ledger.get(key) ?? "nothing"];
    if (told !== kept)
      found.add("other_state", subjectOf(key), `${key}: the topics come to ${told}, the ledger to ${kept}`);
  }
  return found.list;
}

/** Of a state, whatever order it was built in. */
export function digestOf(state: ReadonlyMap<string, string>): string {
  const hash = createHash("sha256");
  for (const [key, value] of [...state].sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${key}=${value}\n`);
  return hash.digest("hex");
}

export function fromTopics({ topics }: Evidence): ReadonlyMap<string, string> {
  const state = new Map<string, string>();
  const newest = new Map<string, number>();
  for (const { tenant, jobId, generation, status } of topics.results) {
    const key = jobKey(tenant, jobId);
    if (generation < 0 || generation < (newest.get(key) ?? 0)) continue;
    newest.set(key, generation);
    state.set(key, `${String(generation)} ${status}`);
  }
  const amounts = new Map<string, bigint>();
  const seen = new Set<string>();
  for (const { costId, tenant, nanoUsd } of topics.costs) {
    if (seen.has(costId)) continue;
    seen.add(costId);
    amounts.set(tenant, (amounts.get(tenant) ?? 0n) + (nanoUsd ?? 0n));
  }
  return withAmounts(state, amounts);
}

function fromLedger(evidence: Evidence): ReadonlyMap<string, string> {
  const state = new Map<string, string>();
  const undelivered = undeliveredSources(evidence);
  for (const [key, generations] of jobsByKey(evidence)) {
    const job = generations.at(-1);
    if (job !== undefined && !undelivered.has(job.source)) state.set(key, `${String(job.generation)} ${job.state}`);
  }
  const amounts = new Map<string, bigint>();
  for (const { tenant, nanoUsd } of evidence.ledger.costs)
    amounts.set(tenant, (amounts.get(tenant) ?? 0n) + (nanoUsd ?? 0n));
  return withAmounts(state, amounts);
}

/** Of jobs whose topic does not take their result: that is told elsewhere. */
function undeliveredSources({ ledger }: Evidence): ReadonlySet<string> {
  const letters = ledger.deadLetters.filter(({ code }) => code === "REPLY_UNDELIVERABLE");
  return new Set(letters.map(sourceOf));
}

function withAmounts(state: Map<string, string>, amounts: ReadonlyMap<string, bigint>): ReadonlyMap<string, string> {
  for (const [tenant, amount] of amounts) if (amount !== 0n) state.set(`cost of ${tenant}`, String(amount));
  return state;
}

function subjectOf(key: string): { readonly tenant: string | null; readonly jobId: string | null } {
  if (!key.startsWith("[")) return { tenant: null, jobId: null };
  const [tenant, jobId] = JSON.parse(key) as [string, string]; // written by `jobKey`
  return { tenant, jobId };
}
