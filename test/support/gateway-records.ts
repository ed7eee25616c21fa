import { createHash } from "node:crypto";

/** A record to publish. Values are bytes, so that a test can send what no JSON library would write. */
export interface RecordToSend {
  readonly key?: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers?: Readonly<Record<string, Buffer | string | (Buffer | string)[]>>;
  /** Else the key chooses. */
  readonly partition?: number;
}

/** A record as found in a topic; headers that repeat keep all their values. */
export interface FoundRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: ReadonlyMap<string, readonly Buffer[]>;
}

/** The first value of a header as text; null when the record does not carry it. */
export function headerText(record: FoundRecord, name: string): string | null {
  return record.headers.get(name)?.[0]?.toString("utf8") ?? null;
}

/** Alike for copies of one record: a relay that is killed or stopped between the broker's acknowledgement and the ledger publishes it again. */
export function printOf(record: FoundRecord): string {
  return [record.key?.toString("base64"), record.value?.toString("base64"), headerText(record, "ce_id")].join();
}

/** A result's document, with what tests look at. */
export interface ResultDocument {
  readonly resultId: string;
  readonly jobId: string;
  readonly tenant: string;
  readonly generation: number;
  readonly status: string;
  readonly body: { readonly choices: readonly { readonly message: { readonly content: string | null } }[] } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly served?: string;
  readonly cost: { readonly nanoUsd: string | null };
  readonly attempts: readonly { readonly outcome: string }[];
}

export function resultIn(record: FoundRecord): ResultDocument {
  return JSON.parse(record.value?.toString("utf8") ?? "null") as ResultDocument; // what contract.md says of a result
}

/** The words of an answer, without the simulator's filler: `digest=…` and `body=…`. */
export function answerDigests(result: ResultDocument): { readonly prompt: string; readonly body: string } {
  const content = result.body?.choices[0]?.message.content ?? "";
  const found = /^digest=([0-9a-f]{32}) body=([0-9a-f]{32})/.exec(content);
  if (found === null) throw new Error(`expected an answer of the simulator, got ${JSON.stringify(result)}`);
  return { prompt: found[1] ?? "", body: found[2] ?? "" };
}

/** The simulator's digest, computed here anew: the first 32 hex characters of sha256. */
export function digestOf(bytes: string | Buffer): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 32);
}

export interface JobFields {
  readonly tenant?: string;
  readonly [field: string]: unknown;
}

/** A chat job as its producer would write it. `max_tokens` is set, so that the gateway has no cap to add. */
export function chatJob(jobId: string, prompt: string, fields: JobFields = {}): string {
  const { tenant = "acme", ...more } = fields;
  return JSON.stringify({
    jobId,
    tenant,
    body: { model: "cheap", messages: [{ role: "user", content: prompt }], max_tokens: 64 },
    ...more,
  });
}

/** The same with the members of the body after `model` as raw JSON text, so that each byte of it is the test's own. */
export function rawJob(jobId: string, members: string, tenant = "acme"): string {
  return `{"jobId":${JSON.stringify(jobId)},"tenant":${JSON.stringify(tenant)},"body":{"model":"cheap",${members}}}`;
}

/** What the provider gets of such a body: the alias's model in the place of the alias, and the members as they were sent. */
export function sentBody(members: string): string {
  return `{"model":"gpt-4.1-mini",${members}}`;
}
