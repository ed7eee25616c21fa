import { accountPriceOf } from "../domain/cost/account-price.js";
import { chargeNanoUsd } from "../domain/cost/charge.js";
import type { PriceTable } from "../domain/cost/price-table.js";
import { PROVIDER_BATCH_STATES, type ProviderBatch } from "../domain/batch/provider-batch.js";
import type { RequestFormat } from "../domain/job/job.js";
import type { Account } from "../domain/route/catalog.js";
import type { BatchProvider, CreateReply, LineOutcome, ResultItem } from "../ports/batch-provider.js";
import { LINE_NAMES } from "./batch-rows.js";
import { chatBody } from "./chat-bodies.js";
import type { BatchRow } from "./matrix-row.js";
import type { Simulated } from "./simulated.js";

const CALL_LIMITS = { timeoutMs: 10_000 };
const SEND_LIMITS = { ...CALL_LIMITS, sendWithinMs: 5_000, maySend: () => true };
const LOOKS_MAX = 400;
const LOOK_EVERY_MS = 25;
/** The odd lines of a results file are fetched again; more than this and the row fails. */
const ITEMS_MAX = 1_000;

export interface BatchParts {
  readonly account: Account;
  readonly provider: BatchProvider;
  readonly simulated: Simulated;
  readonly prices: PriceTable;
  readonly format: RequestFormat;
  readonly model: string;
}

interface Line {
  readonly name: string;
  readonly attemptId: string;
  readonly bytes: Buffer;
}

/** What the results of a batch came to. */
interface Ingested {
  readonly outcomes: ReadonlyMap<string, LineOutcome>;
  readonly odd: Readonly<Record<"malformed" | "gone" | "repeated" | "unknown", number>>;
  readonly problems: readonly string[];
}

/** Runs one batch of five lines to its end and compares each line, and the bill of each line, with what is expected. */
export async function runBatchRow(parts: BatchParts, row: BatchRow, id: string): Promise<readonly string[]> {
  await parts.simulated.setFaults(row.faults);
  const lines = LINE_NAMES.map((name) => lineOf(parts, row, `${id}-${name}`, name));
  const reply = await create(parts, row, lines, id);
  if (reply.kind === "unclear" || reply.kind === "refused") return compareCreate(row, reply);
  if (reply.kind === "not_sent") return [`the creation was not sent: ${reply.message}`];
  if (row.expected.state === null)
    return [`expected the creation to be ${String(row.expected.created)}, found created`];
  if (row.cancel === true) await parts.provider.cancel(reply.batch.batchId, CALL_LIMITS, new AbortController().signal);
  const { batch, words } = await untilEnded(parts.provider, reply.batch.batchId);
  if (batch === null) return ["the batch did not end in time"];
  const ingested = await ingest(parts, batch, new Map(lines.map((line) => [line.attemptId, line.name])));
  return [
    ...ingested.problems,
    ...compareState(row, batch, words),
    ...compareLines(row, ingested),
    ...(await compareBill(parts, lines, ingested)),
  ];
}

function lineOf({ provider, format, model }: BatchParts, row: BatchRow, attemptId: string, name: string): Line {
  const body = chatBody(format, "text", model) as Readonly<Record<string, unknown>>; // the bodies are objects
  const spoilt = row.badLines?.includes(name) === true ? { ...body, ...SPOILT[format] } : body;
  const encoded = provider.encodeLine(
    { attemptId, format, model, bodyText: JSON.stringify(spoilt), maxOutputTokensDefault: 200 },
    row.way,
  );
  if (encoded.kind !== "encoded") throw new Error(`a line can't be carried: ${encoded.reasons.join("; ")}`);
  return { name, attemptId, bytes: encoded.bytes };
}

/** A value that each provider refuses when it runs the line. */
const SPOILT: Readonly<Partial<Record<RequestFormat, Readonly<Record<string, unknown>>>>> = {
  "openai.chat": { temperature: 9 },
  "anthropic.messages": { temperature: 9 },
  "gemini.generate": { generationConfig: { temperature: 9 } },
};

/** As they would come from a database, one after the other. */
async function* bytesOf(lines: readonly Line[]): AsyncIterable<Uint8Array> {
  for (const { bytes } of lines) yield await Promise.resolve(bytes);
}

async function create(parts: BatchParts, row: BatchRow, lines: readonly Line[], id: string): Promise<CreateReply> {
  const { provider, format, model } = parts;
  const { signal } = new AbortController();
  const linesBytes = lines.reduce((sum, { bytes }) => sum + bytes.length + 1, 0);
  const common = { mark: id, lineFormat: format, model: provider.rules.alike.model ? model : null };
  if (row.way === "inline") {
    const input = { way: "inline", lines: bytesOf(lines), linesBytes } as const;
    return provider.create({ ...common, input }, SEND_LIMITS, signal);
  }
  const uploaded = await provider.upload({ name: id, lines: bytesOf(lines), linesBytes }, CALL_LIMITS, signal);
  if (uploaded.kind === "failed") throw new Error(`the upload failed: ${uploaded.message}`);
  await fileReady(provider, id, uploaded.file.state);
  return provider.create({ ...common, input: { way: "file", fileId: uploaded.file.fileId } }, SEND_LIMITS, signal);
}

async function fileReady(provider: BatchProvider, name: string, state: string): Promise<void> {
  let now = state;
  for (let look = 0; now === "processing" && look < LOOKS_MAX; look += 1) {
    // Serial: one look after the other.
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    const found = await provider.findFiles({ name, sinceMs: 0 }, CALL_LIMITS, new AbortController().signal);
    now = found.kind === "files" ? (found.files[0]?.state ?? now) : now;
  }
}

function compareCreate(row: BatchRow, reply: Extract<CreateReply, { kind: "unclear" | "refused" }>): string[] {
  const { created, refusedBecause } = row.expected;
  if (reply.kind !== created) return [`expected the creation to be ${created ?? "answered"}, found ${reply.kind}`];
  if (reply.kind === "refused" && refusedBecause !== undefined && reply.refusal.because !== refusedBecause)
    return [`expected the refusal ${refusedBecause}, found ${reply.refusal.because}`];
  return [];
}

async function untilEnded(
  provider: BatchProvider,
  batchId: string,
): Promise<{ readonly batch: ProviderBatch | null; readonly words: ReadonlySet<string> }> {
  const words = new Set<string>();
  let endedBefore = false;
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    // Serial: one look after the other.
    const reply = await provider.get(batchId, CALL_LIMITS, new AbortController().signal);
    if (reply.kind === "batch") {
      if (reply.batch.unknownWord !== null) words.add(reply.batch.unknownWord);
      const ended = PROVIDER_BATCH_STATES[reply.batch.state].ended;
      // A state may go backward (H14): it has ended when two looks say so.
      if (ended && endedBefore) return { batch: reply.batch, words };
      endedBefore = ended;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return { batch: null, words };
}

async function ingest(parts: BatchParts, batch: ProviderBatch, names: ReadonlyMap<string, string>): Promise<Ingested> {
  const outcomes = new Map<string, LineOutcome>();
  const odd = { malformed: 0, gone: 0, repeated: 0, unknown: 0 };
  const problems: string[] = [];
  let items = 0;
  const request = { batchId: batch.batchId, lineFormat: parts.format, parts: batch.results, cursor: null };
  for await (const item of parts.provider.results(request, CALL_LIMITS, new AbortController().signal)) {
    items += 1;
    if (items > ITEMS_MAX) return { outcomes, odd, problems: ["the results do not end"] };
    take(item, names, outcomes, odd, problems);
  }
  return { outcomes, odd, problems };
}

function take(
  item: ResultItem,
  names: ReadonlyMap<string, string>,
  outcomes: Map<string, LineOutcome>,
  odd: { malformed: number; gone: number; repeated: number; unknown: number },
  problems: string[],
): void {
  if (item.kind === "malformed" || item.kind === "gone") odd[item.kind] += 1;
  if (item.kind === "broken") problems.push(`the results broke off: ${item.failure.message}`);
  if (item.kind !== "line") return;
  const name = names.get(item.customId);
  if (name === undefined) odd.unknown += 1;
  else if (outcomes.has(name)) odd.repeated += 1;
  else outcomes.set(name, item.outcome); // the first stands
}

function compareState(row: BatchRow, batch: ProviderBatch, words: ReadonlySet<string>): string[] {
  const { state, refusedBecause, unknownWord } = row.expected;
  const problems: string[] = [];
  if (batch.state !== state) problems.push(`expected the batch to be ${String(state)}, found ${batch.state}`);
  if (refusedBecause !== undefined && batch.refusal?.because !== refusedBecause)
    problems.push(`expected the refusal ${refusedBecause}, found ${batch.refusal?.because ?? "none"}`);
  if (unknownWord === true && words.size === 0) problems.push("the unknown state was not told");
  return problems;
}

function compareLines({ expected }: BatchRow, { outcomes, odd }: Ingested): string[] {
  const problems = Object.entries(expected.odd ?? {})
    .filter(([kind, least]) => odd[kind as keyof typeof odd] < least) // a key of the same record
    .map(
      ([kind, least]) => `expected at least ${String(least)} ${kind}, found ${String(odd[kind as keyof typeof odd])}`,
    );
  if (expected.answered === null) return problems;
  for (const name of LINE_NAMES) {
    const found = outcomes.get(name);
    const wanted = expected.answered.includes(name) ? "answered" : (expected.failed?.[name] ?? "missing");
    const came = found === undefined ? "missing" : found.kind === "answered" ? "answered" : found.outcome;
    if (came !== wanted) problems.push(`line ${name}: expected ${wanted}, found ${came}`);
  }
  return problems;
}

/** Each answered line has one row with the same money; a line without an answer that was billed must not be called free. */
async function compareBill(parts: BatchParts, lines: readonly Line[], { outcomes }: Ingested): Promise<string[]> {
  const { account, prices, model, simulated } = parts;
  const price = accountPriceOf(prices, account.facts.kind, model, account.prices, "batch");
  if (price === null) return [`no batch price is known for ${model}`];
  const bill = await simulated.billOf(new Set(lines.map(({ attemptId }) => attemptId)));
  return lines.flatMap(({ name, attemptId }) => {
    const rows = bill.filter(({ attempt }) => attempt === attemptId);
    const outcome = outcomes.get(name);
    if (outcome?.kind !== "answered")
      return rows.length > 1 ? [`line ${name} was billed ${String(rows.length)} times`] : [];
    const charge = chargeNanoUsd(outcome.usage, price);
    const booked = charge.kind === "charged" ? charge.nanoUsd.toString() : "suspect";
    const billed = rows.map(({ nanoUsd }) => nanoUsd).join(" + ");
    return booked === billed ? [] : [`line ${name}: booked ${booked} nano-dollars, billed ${billed}`];
  });
}
