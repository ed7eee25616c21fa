import type { BatchLineView, BatchView } from "../app/operator/batch-view.js";
import type { CreateLine } from "../adapters/postgres/operator/batch-rows.js";
import type { Batch, SeenBatch } from "../domain/batch/batch.js";
import { dollarsText, isoOrNull, safeText, spanText, timeText } from "./display-text.js";
import { tableLines } from "./text-table.js";

/** A batch as `batches show --json` prints it. */
export function batchJson({ summary, row, creates, lines }: BatchView): Readonly<Record<string, unknown>> {
  const { batch } = row;
  const { createdMs, expectedMs, ...known } = summary;
  return {
    ...known,
    pool: batch.pool,
    way: batch.way,
    lineFormat: batch.lineFormat,
    linesBytes: batch.linesBytes,
    tokens: batch.tokens,
    createdAt: isoOrNull(createdMs),
    sealedAt: isoOrNull(batch.sealedAtMs),
    submittedAt: isoOrNull(batch.submittedAtMs),
    expectedAt: isoOrNull(expectedMs),
    endedAt: isoOrNull(batch.endedAtMs),
    doneAt: isoOrNull(batch.doneAtMs),
    nextLookAt: isoOrNull(batch.nextAtMs),
    nearestDeadline: isoOrNull(row.nearestDeadlineMs),
    session: row.session,
    tries: batch.tries,
    cancelAskedAt: isoOrNull(batch.cancelAskedAtMs),
    refusal: batch.refusal,
    seen: batch.seen === null ? null : seenJson(batch.seen),
    outcomes: batch.outcomes,
    files: {
      input: batch.fileId,
      uploads: batch.uploads,
      results: batch.parts,
      cursor: batch.cursor,
      erasedAt: isoOrNull(batch.erasedAtMs),
    },
    creates: creates.map(({ intentMs, ...create }) => ({ ...create, intentAt: isoOrNull(intentMs) })),
    lineList: lines,
  };
}

function seenJson({ atMs, ...seen }: SeenBatch): Readonly<Record<string, unknown>> {
  return { ...seen, at: isoOrNull(atMs) };
}

/** The same for people: a sentence, facts by the line, the create intents, the lines that were asked for. */
export function batchViewLines(view: BatchView): readonly string[] {
  const { creates, lines } = view;
  return [
    sentenceOf(view),
    ...factLines(view),
    ...(creates.length === 0
      ? []
      : [
          "",
          ...tableLines(
            ["create", "intent", "settled", "mark", "file", "lines", "provider's id"],
            creates.map(createCells),
          ),
        ]),
    ...(lines.length === 0
      ? []
      : [
          "",
          ...tableLines(
            ["line", "attempt", "state", "outcome", "paid", "tenant", "jobs", "request"],
            lines.map(lineCells),
          ),
        ]),
  ];
}

function sentenceOf({ summary, row }: BatchView): string {
  const { done, percent, expectedMs } = summary;
  const progress =
    done === null || percent === null
      ? `how many of ${String(summary.lines)} lines are done is unknown`
      : `${String(done)} of ${String(summary.lines)} lines done, ${String(percent)} %`;
  const expected = row.batch.endedAtMs !== null || expectedMs === null ? "" : `, expected ${timeText(expectedMs)}`;
  const deadline = row.nearestDeadlineMs === null ? "" : `, nearest deadline ${timeText(row.nearestDeadlineMs)}`;
  return `${summary.state}: ${progress}${expected}${deadline}, age ${spanText(summary.ageMs)}`;
}

function factLines({ summary, row }: BatchView): readonly string[] {
  const { batch } = row;
  const named: readonly (readonly [string, string | null])[] = [
    [
      "batch",
      `${summary.batchId} at ${batch.provider}/${batch.account}, ${batch.model ?? "several models"}, ${batch.lineFormat}, ${batch.way}`,
    ],
    ["pool", batch.pool],
    [
      "size",
      `${String(batch.lines)} lines, ${String(batch.linesBytes)} bytes, about ${String(batch.tokens)} prompt tokens`,
    ],
    ["times", timesText(batch)],
    ["next look", nextLookText(batch, row.session)],
    [
      "provider",
      batch.providerBatchId === null
        ? null
        : `${safeText(batch.providerBatchId)}${batch.seen === null ? "" : `, ${seenText(batch.seen)}`}`,
    ],
    ["files", filesText(batch)],
    ["outcomes", outcomesText(batch)],
    ["cancel", batch.cancelAskedAtMs === null ? null : `asked for ${timeText(batch.cancelAskedAtMs)}`],
    [
      "trouble",
      batch.trouble === null ? null : `${safeText(batch.trouble)} (${String(batch.tries)} failures in a row)`,
    ],
    ["refused", batch.refusal === null ? null : `${batch.refusal.because}: ${safeText(batch.refusal.message)}`],
  ];
  return named.flatMap(([name, text]) => (text === null ? [] : [`${name.padEnd(9)} ${text}`]));
}

function timesText(batch: Batch): string {
  const times: readonly (readonly [string, number | null])[] = [
    ["created", batch.createdAtMs],
    ["sealed", batch.sealedAtMs],
    ["submitted", batch.submittedAtMs],
    ["ended", batch.endedAtMs],
    ["outcomes stored", batch.doneAtMs],
    ["files deleted", batch.erasedAtMs],
  ];
  return times.flatMap(([name, atMs]) => (atMs === null ? [] : [`${name} ${timeText(atMs)}`])).join(", ");
}

function nextLookText({ nextAtMs }: Batch, session: number | null): string | null {
  if (nextAtMs === null) return null;
  return `${timeText(nextAtMs)}${session === null ? ", no router has it" : `, router session ${String(session)}`}`;
}

function seenText({ state, unknownWord, counts, atMs }: SeenBatch): string {
  const told = (["waiting", "succeeded", "failed", "expired", "cancelled"] as const).flatMap((name) => {
    const count = counts[name];
    return count === null ? [] : [`${String(count)} ${name}`];
  });
  const word = unknownWord === null ? state : `${state} (its word: ${safeText(unknownWord)})`;
  return [word, ...told, `told ${timeText(atMs)}`].join(", ");
}

function filesText({ fileId, uploads, parts }: Batch): string | null {
  const input = fileId === null ? [] : [`input ${safeText(fileId)} (upload ${String(uploads)})`];
  const files = [...input, ...parts.map(({ part, ref }) => `${part} ${safeText(ref)}`)];
  return files.length === 0 ? null : files.join(", ");
}

function outcomesText({ outcomes }: Batch): string | null {
  const counts = Object.entries(outcomes).map(([outcome, count]) => `${String(count)} ${outcome}`);
  return counts.length === 0 ? null : counts.join(", ");
}

function createCells(create: CreateLine): readonly string[] {
  return [
    String(create.number),
    timeText(create.intentMs),
    create.settled ?? "not known yet",
    create.mark,
    create.fileId === null ? "-" : safeText(create.fileId),
    String(create.lines),
    create.providerBatchId === null ? "-" : safeText(create.providerBatchId),
  ];
}

function lineCells(line: BatchLineView): readonly string[] {
  const hidden = line.jobs - line.jobIds.length;
  return [
    String(line.line),
    line.attemptId,
    line.state,
    line.outcome ?? "-",
    line.nanoUsd === null ? "-" : dollarsText(BigInt(line.nanoUsd)),
    line.tenant,
    `${line.jobIds.map(safeText).join(" ")}${hidden > 0 ? ` and ${String(hidden)} more` : ""}`,
    line.requestId === null ? "-" : safeText(line.requestId),
  ];
}
