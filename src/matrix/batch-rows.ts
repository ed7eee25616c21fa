import type { ProviderKind } from "../domain/route/route.js";
import type { FaultRule } from "./simulated.js";
import type { BatchExpectation, BatchRow } from "./matrix-row.js";

/** Ends of a batch of five lines, `a` to `e`. */
export const LINE_NAMES = ["a", "b", "c", "d", "e"] as const;

/** How the kinds differ in what a batch can come to. */
interface BatchKind {
  readonly ways: readonly BatchRow["way"][];
  /** Whether a batch can fail as a whole after its creation. */
  readonly failsAsWhole: boolean;
  /** Its word for a batch that is refused because of a line, and what it must be read as: Gemini's tells nothing of lines. */
  readonly badLine: { readonly code: string; readonly because: string };
  /** Lines that were done before it expired are handed over. */
  readonly expiredKeepsResults: boolean;
  /** The ends of single lines are in the lines: the batch itself is `completed`. */
  readonly endsInLines: boolean;
  readonly create: string;
}

const KINDS: Readonly<Partial<Record<ProviderKind, BatchKind>>> = {
  openai: {
    ways: ["file"],
    failsAsWhole: true,
    badLine: { code: "invalid_json_line", because: "bad_line" },
    expiredKeepsResults: true,
    endsInLines: false,
    create: "openai.batches.create",
  },
  anthropic: {
    ways: ["inline"],
    failsAsWhole: false,
    badLine: { code: "invalid_request_error", because: "bad_line" },
    expiredKeepsResults: true,
    endsInLines: true,
    create: "anthropic.batches.create",
  },
  gemini: {
    ways: ["inline", "file"],
    failsAsWhole: true,
    badLine: { code: "INVALID_ARGUMENT", because: "not_accepted" },
    expiredKeepsResults: false,
    endsInLines: false,
    create: "gemini.batchGenerateContent",
  },
};

const ALL: readonly string[] = LINE_NAMES;

export function batchRows(kind: ProviderKind): readonly BatchRow[] {
  const known = KINDS[kind];
  if (known === undefined) return [];
  return known.ways.flatMap((way) =>
    rowsOf(known, way).map((row) => ({ ...row, name: `batch (${way}): ${row.name}` })),
  );
}

function rowsOf(kind: BatchKind, way: BatchRow["way"]): readonly BatchRow[] {
  const row = (
    name: string,
    faults: readonly FaultRule["fault"][],
    expected: BatchExpectation,
    more: Partial<BatchRow> = {},
  ): BatchRow => ({ name, way, faults: faults.map((fault) => ({ fault })), expected, ...more });
  const done = (answered: readonly string[] | null, more: Partial<BatchExpectation> = {}): BatchExpectation => ({
    state: "completed",
    answered,
    ...more,
  });
  return [
    row("every line answered", [], done(ALL)),
    row("a line that the provider refuses", [], done(["a", "b", "d", "e"], { failed: { c: "refused" } }), {
      badLines: ["c"],
    }),
    row(
      "every line refused",
      [{ kind: "batch_lines_fail", status: 500 }],
      done([], { failed: failedLines("overloaded") }),
    ),
    row("reordered lines", [{ kind: "batch_lines_reordered" }], done(ALL)),
    row("lines missing", [{ kind: "batch_lines_missing", share: 0.4 }], done(null)),
    row("lines repeated", [{ kind: "batch_lines_repeated", share: 0.4 }], done(ALL, { odd: { repeated: 2 } })),
    row(
      "lines repeated with other answers",
      [{ kind: "batch_lines_repeated", share: 0.4, different: true }],
      done(ALL, { odd: { repeated: 2 } }),
    ),
    row("lines that nobody asked for", [{ kind: "batch_lines_unknown", count: 2 }], done(ALL, { odd: { unknown: 2 } })),
    row("a state that nobody knows", [{ kind: "batch_strange_state" }], done(ALL, { unknownWord: true })),
    row("a state that goes backward", [{ kind: "batch_backward" }], done(ALL)),
    row("counts that disagree", [{ kind: "batch_counts_wrong", by: 3 }], done(ALL)),
    row("not to be found at first", [{ kind: "batch_hidden", listMs: 300, getMs: 300 }], done(ALL)),
    ...expiry(kind, row),
    ...cancelling(kind, row),
    ...(kind.failsAsWhole ? wholeRefusals(kind, row) : []),
    ...lostCreate(kind, way),
    ...(way === "file" || kind.endsInLines ? damagedFiles(row) : []),
  ];
}

type MakeRow = (
  name: string,
  faults: readonly FaultRule["fault"][],
  expected: BatchExpectation,
  more?: Partial<BatchRow>,
) => BatchRow;

function failedLines(outcome: "overloaded" | "line_expired" | "cancelled"): NonNullable<BatchExpectation["failed"]> {
  return Object.fromEntries(LINE_NAMES.map((name) => [name, outcome]));
}

function expiry(kind: BatchKind, row: MakeRow): BatchRow[] {
  const state = kind.endsInLines ? "completed" : "expired";
  return [
    row("expired with half of it done", [{ kind: "batch_expires", share: 0.6 }], {
      state,
      answered: kind.expiredKeepsResults ? ["a", "b", "c"] : [],
      ...(kind.expiredKeepsResults ? { failed: { d: "line_expired", e: "line_expired" } as const } : {}),
    }),
  ];
}

function cancelling(kind: BatchKind, row: MakeRow): BatchRow[] {
  const state = kind.endsInLines ? "completed" : "cancelled";
  return [
    row("cancelled by somebody with half of it done", [{ kind: "batch_cancelled", share: 0.6 }], {
      state,
      answered: null,
    }),
    row(
      "cancelled by us while it is stuck",
      [{ kind: "batch_stuck", state: "validating" }],
      { state, answered: null },
      {
        cancel: true,
      },
    ),
  ];
}

function wholeRefusals(kind: BatchKind, row: MakeRow): BatchRow[] {
  return [
    row("refused as a whole for a line", [{ kind: "batch_refused", code: kind.badLine.code, line: 2 }], {
      state: "failed",
      refusedBecause: kind.badLine.because,
      answered: [],
    }),
    row("refused as a whole, too many tokens enqueued", [{ kind: "batch_queue_full" }], {
      state: "failed",
      refusedBecause: "queue_full",
      answered: [],
    }),
  ];
}

function lostCreate(kind: BatchKind, way: BatchRow["way"]): BatchRow[] {
  const match = { operation: kind.create };
  const expected = { state: null, answered: [] } as const;
  return [
    {
      name: "the answer to its creation is lost",
      way,
      faults: [{ match, fault: { kind: "drop_after_billed" } }],
      expected: { ...expected, created: "unclear" },
    },
    {
      name: "its creation is refused, too fast",
      way,
      faults: [{ match, fault: { kind: "rate_limited", waitMs: 2_000 } }],
      expected: { ...expected, created: "refused", refusedBecause: "rate_limited" },
    },
    {
      name: "its creation is refused, key not accepted",
      way,
      faults: [{ match, fault: { kind: "status", status: 401 } }],
      expected: { ...expected, created: "refused", refusedBecause: "auth_failed" },
    },
  ];
}

function damagedFiles(row: MakeRow): BatchRow[] {
  const completed = { state: "completed" } as const;
  return [
    row("results with a byte order mark", [{ kind: "batch_file_damaged", how: "bom" }], {
      ...completed,
      answered: ALL,
    }),
    row("results with CRLF", [{ kind: "batch_file_damaged", how: "crlf" }], { ...completed, answered: ALL }),
    row("results with blank lines", [{ kind: "batch_file_damaged", how: "blank_lines" }], {
      ...completed,
      answered: ALL,
    }),
    row("results with a line that is none", [{ kind: "batch_file_damaged", how: "bad_line" }], {
      ...completed,
      answered: ALL,
      odd: { malformed: 1 },
    }),
    row("results cut in the last line", [{ kind: "batch_file_damaged", how: "cut" }], {
      ...completed,
      answered: null,
      odd: { malformed: 1 },
    }),
    row("results that are gone", [{ kind: "batch_file_gone" }], { ...completed, answered: [], odd: { gone: 1 } }),
  ];
}
