import type { BatchWay } from "../../domain/batch/batch-rules.js";

/** What the config says of batches; each key's bounds, default and reason stand in its schema. */
export interface BatchingSettings {
  /** Between two looks at the pools and at due batches. */
  readonly lookEveryMs: number;
  /** The p95 of a turnaround that is believed before enough batches have ended. */
  readonly turnaroundPriorMs: number;
  /** Turnarounds that ended longer ago count no more, nor more than so many. */
  readonly turnaroundWindowMs: number;
  readonly turnaroundsMax: number;
  /** A batch is asked about after `pollMinMs`, then more and more rarely, at most every `pollMaxMs`. Also the backoff after trouble. */
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  /** Batches that one router works on at the same time. */
  readonly stepsAtOnce: number;
  /** Create, list, get, cancel, delete. */
  readonly callTimeoutMs: number;
  /** One upload, or one read of results. */
  readonly transferTimeoutMs: number;
  readonly resultLineBytesMax: number;
  /** Lines that one transaction binds or ends. */
  readonly groupSizeMax: number;
  /** Results are stored: so long after it the provider's files are deleted. */
  readonly eraseAfterMs: number;
  /** How long a create that was settled as absent is looked for. */
  readonly scanForMs: number;
}

/** Of one account whose config has a `batch` section. Null: the provider's own limit alone. */
export interface BatchAccountSettings {
  readonly way: BatchWay | null;
  readonly linesMax: number | null;
  readonly bytesMax: number | null;
  /** Estimated prompt tokens over all live batches of the account. */
  readonly enqueuedTokensMax: number | null;
  readonly openBatchesMax: number;
  /** The oldest line of a pool waits at most so long for others. */
  readonly flushAfterMs: number;
  /** Where nothing fences a create: how long its absence is waited for. */
  readonly createGraceMs: number;
  /** Only there where lines are calls: so many at once. */
  readonly concurrency?: number;
}
