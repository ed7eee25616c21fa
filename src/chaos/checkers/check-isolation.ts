import type { Canary, Evidence, SinkReading, TopicRecord, Violation } from "../evidence/evidence.js";
import { placeOf, recordNumber } from "../evidence/record.js";
import { inputsBySource, publishedByNumber } from "./lookups.js";
import { NOBODY, Violations } from "./violations.js";

/** Sinks that have to have been read, else the absence of a hit says nothing. */
const EXPECTED: readonly SinkReading["kind"][] = ["log", "ledger", "redis", "metrics"];
/** Sinks in which no text of any tenant may be: they are read by people who may see all tenants, or none. */
const NOBODYS: ReadonlySet<SinkReading["kind"]> = new Set(["log", "metrics"]);

/** A tenant's text is only in records and rows of that tenant, and in no log or metric; a secret is nowhere. */
export function checkIsolation(evidence: Evidence): readonly Violation[] {
  const found = new Violations("isolation");
  const canaries = evidence.run.canaries.map((canary) => ({ canary, bytes: Buffer.from(canary.text, "utf8") }));
  for (const { record, tenant } of recordsOf(evidence))
    for (const { canary, bytes } of canaries)
      if (!mayHold(canary, tenant) && holds(record, bytes))
        found.add(
          ruleOf(canary),
          { tenant: canary.tenant },
          `${placeOf(record)}, a record of ${tenant ?? "nobody"}, holds ${canary.name}`,
        );
  const byName = new Map(evidence.run.canaries.map((canary) => [canary.name, canary]));
  for (const sink of evidence.sinks) checkSink(evidence, sink, byName, found);
  if (canaries.length > 0)
    for (const kind of EXPECTED)
      if (!evidence.sinks.some((sink) => sink.kind === kind && sink.bytes > 0))
        found.add("sink_not_read", NOBODY, `no sink of kind ${kind} with a byte in it was searched`);
  return found.list;
}

function mayHold({ kind, tenant }: Canary, owner: string | null): boolean {
  return kind === "tenant" && tenant === owner;
}

function ruleOf({ kind }: Canary): string {
  return kind === "secret" ? "secret_told" : "tenant_told";
}

/** Every record that the gateway wrote, and whose it is. An event is nobody's: operators of all tenants read it. */
function* recordsOf(evidence: Evidence): Iterable<{ readonly record: TopicRecord; readonly tenant: string | null }> {
  const { topics } = evidence;
  for (const { record, tenant } of topics.results) yield { record, tenant };
  for (const { record, tenant } of topics.costs) yield { record, tenant };
  for (const { record } of topics.deadLetters) yield { record, tenant: tenantOf(evidence, record) };
  for (const { record } of topics.events) yield { record, tenant: null };
  for (const record of topics.unreadable) yield { record, tenant: null };
}

/** A dead letter has the headers of the record that it was. */
function tenantOf(evidence: Evidence, record: TopicRecord): string | null {
  return senderOf(evidence, recordNumber(record));
}

function senderOf(evidence: Evidence, number: number | null): string | null {
  return number === null ? null : (publishedByNumber(evidence).get(number)?.tenant ?? null);
}

function holds({ key, value, headers }: TopicRecord, bytes: Buffer): boolean {
  if (value?.includes(bytes) === true || key?.includes(bytes) === true) return true;
  for (const header of headers.values()) if (header.includes(bytes)) return true;
  return false;
}

function checkSink(
  evidence: Evidence,
  { kind, hits }: SinkReading,
  byName: ReadonlyMap<string, Canary>,
  found: Violations,
): void {
  for (const { canary: name, source, where, count, ...hit } of hits) {
    const canary = byName.get(name);
    const input = source === undefined ? undefined : inputsBySource(evidence).get(source);
    const tenant = hit.tenant ?? senderOf(evidence, input?.number ?? null);
    if (canary === undefined) continue; // of another run
    if (!NOBODYS.has(kind) && mayHold(canary, tenant)) continue;
    found.add(
      ruleOf(canary),
      { tenant: canary.tenant },
      `${where} (${kind}${tenant === null ? "" : `, a row of ${tenant}`}) holds ${name} ${String(count)} times`,
    );
  }
}
