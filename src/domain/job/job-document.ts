import type { JobMode, Tier } from "./job.js";

/**
 * A job as it is sent, after its shape was checked against schemas/job.schema.json. A null member means the same as an
 * absent one. This type is what the schema promises; a test compares the two.
 */
export interface JobDocument {
  readonly jobId?: string | null;
  readonly tenant?: string | null;
  readonly format?: string | null;
  readonly body?: Readonly<Record<string, unknown>> | null;
  readonly bodyRef?: Readonly<Record<string, unknown>> | null;
  readonly mode?: JobMode | null;
  readonly deadline?: string | null;
  readonly ttlMs?: number | null;
  readonly priority?: number | null;
  readonly tier?: Tier | null;
  readonly replyTo?: string | null;
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly require?: RequireDocument | null;
  readonly chain?: string | null;
  readonly dedupe?: boolean | null;
  readonly sample?: string | null;
  readonly cache?: CacheDocument | null;
  readonly expect?: ExpectDocument | null;
  readonly onDoubt?: "retry" | "fail" | null;
  readonly explain?: boolean | null;
}

export interface RequireDocument {
  readonly capabilities?: readonly string[] | null;
  readonly providers?: readonly string[] | null;
  readonly selfHostedOnly?: boolean | null;
  readonly regions?: readonly string[] | null;
  readonly maxCostUsd?: string | null;
  readonly maxLatencyMs?: number | null;
}

export interface CacheDocument {
  readonly read?: boolean | null;
  readonly write?: boolean | null;
  readonly maxAgeMs?: number | null;
  readonly semantic?: boolean | null;
}

export interface ExpectDocument {
  readonly jsonSchema?: boolean | null;
  readonly notEmpty?: boolean | null;
  readonly complete?: boolean | null;
}

/** The first thing that is wrong with a job's shape. */
export interface ShapeProblem {
  /** Where, as a person writes it: `require.maxCostUsd`; empty for the job itself. */
  readonly path: string;
  /** What was expected there: "an integer from 0 to 9". */
  readonly expected: string;
  /** What came, in words that hold nothing of a prompt. */
  readonly got: string;
  /** Name of a field that the job must not have; null when the problem is another. */
  readonly unknownField: string | null;
  /** The names that are known at that place, for the nearest one; empty unless `unknownField`. */
  readonly knownFields: readonly string[];
}

/** Checks a parsed job; null when its shape is right. Built from the published schema, so what is published is enforced. */
export type JobShapeCheck = (document: Readonly<Record<string, unknown>>) => ShapeProblem | null;
