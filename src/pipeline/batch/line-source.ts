import type { Batch } from "../../domain/batch/batch.js";
import type { LedgerKey } from "../../domain/ids.js";
import { attemptId } from "../../domain/job/ids.js";
import type { BatchLedger, BatchLine } from "../../ports/batch-ledger.js";
import type { BatchProvider, EncodedLine } from "../../ports/batch-provider.js";
import type { LineRoutes } from "./line-routes.js";

/** Bodies that are held at once while lines are read; the next group is read while the last is sent, so twice this. */
const HELD_BYTES = 8 * 1024 * 1024;

type Encodes = Pick<BatchProvider, "encodeLine">;

export interface LineSums {
  readonly lines: number;
  readonly linesBytes: number;
  /** Lines that can't be sent any more: the config has changed since they were bound. */
  readonly unfit: readonly LedgerKey[];
}

/**
 * The lines of a batch as the provider takes them, read from the ledger in steps: memory does not grow with the batch. The same lines come
 * out the same each time, as long as the config does.
 */
export class LineSource {
  readonly #ledger: Pick<BatchLedger, "openLines">;
  readonly #routes: LineRoutes;
  readonly #groupSizeMax: number;

  constructor(ledger: Pick<BatchLedger, "openLines">, routes: LineRoutes, groupSizeMax: number) {
    this.#ledger = ledger;
    this.#routes = routes;
    this.#groupSizeMax = groupSizeMax;
  }

  /** Encoded, in order; those that can't be are left out. */
  async *encoded(provider: Encodes, batch: Batch): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const group of this.#groups(batch)) {
      for (const line of group) {
        const encoded = this.#encode(provider, batch, line);
        if (encoded?.kind === "encoded") yield encoded.bytes;
      }
    }
  }

  async measure(provider: Encodes, batch: Batch): Promise<LineSums> {
    let lines = 0;
    let linesBytes = 0;
    const unfit: LedgerKey[] = [];
    for await (const group of this.#groups(batch)) {
      for (const line of group) {
        const encoded = this.#encode(provider, batch, line);
        if (encoded?.kind === "encoded") {
          lines += 1;
          linesBytes += encoded.bytes.length + 1;
        } else unfit.push({ day: line.execution.day, no: line.attempt.no });
      }
    }
    return { lines, linesBytes, unfit };
  }

  /** The attempts at these places of the batch as it was sent, from 1; for as long as no line of it has ended. */
  async attemptsAt(batch: Batch, lineNumbers: readonly number[]): Promise<ReadonlyMap<number, LedgerKey>> {
    const wanted = new Set(lineNumbers);
    const found = new Map<number, LedgerKey>();
    let place = 0;
    for await (const group of this.#groups(batch)) {
      for (const line of group) {
        place += 1;
        if (wanted.has(place)) found.set(place, { day: line.execution.day, no: line.attempt.no });
      }
      if (found.size === wanted.size) break;
    }
    return found;
  }

  /** One group is read ahead. */
  async *#groups(batch: Batch): AsyncGenerator<readonly BatchLine[], void, undefined> {
    const limit = this.#groupSize(batch);
    const read = (after: number): Promise<readonly BatchLine[]> => {
      const lines = this.#ledger.openLines(batch.no, after, limit);
      lines.catch(() => undefined); // thrown when its turn comes, if anybody still asks then
      return lines;
    };
    let next: Promise<readonly BatchLine[]> | null = read(0);
    while (next !== null) {
      const group: readonly BatchLine[] = await next;
      const last = group.at(-1);
      next = last === undefined || group.length < limit ? null : read(last.attempt.no);
      if (group.length > 0) yield group;
    }
  }

  #groupSize({ lines, linesBytes }: Batch): number {
    if (lines === 0 || linesBytes === 0) return Math.min(this.#groupSizeMax, FIRST_GROUP);
    const fitting = Math.floor(HELD_BYTES / (linesBytes / lines));
    return Math.max(1, Math.min(this.#groupSizeMax, fitting));
  }

  #encode(provider: Encodes, batch: Batch, line: BatchLine): EncodedLine | null {
    const route = this.#routes.routeOf(line);
    if (route === null) return null;
    const { execution, attempt, format, bodyText } = line;
    return provider.encodeLine(
      {
        ...{ format, bodyText },
        attemptId: attemptId(execution.day, attempt.no),
        model: attempt.model,
        maxOutputTokensDefault: route.maxOutputTokens,
      },
      batch.way,
    );
  }
}

/** Lines of a batch whose size is not known. */
const FIRST_GROUP = 100;
