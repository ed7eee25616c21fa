/**
 * Judges what was packed and when work was done, from numbers alone. It imports nothing: neither packing nor routing can lend it a mistake
 * of theirs.
 */

export interface SeenLine {
  readonly no: number;
  /** As sent, id included, without separator. */
  readonly bytes: number;
  readonly tokens: number;
  readonly embeddingInputs: number;
}

/** Null: not limited. */
export interface SeenLimits {
  readonly linesMax: number | null;
  readonly bytesMax: number;
  readonly frameBytes: number;
  readonly lineBytesMax: number;
  readonly embeddingInputsMax: number | null;
  /** What the account's other batches leave of its enqueued tokens. */
  readonly tokensLeft: number | null;
}

/** One batch at the moment of its making. */
export interface SeenBatch {
  readonly lines: readonly SeenLine[];
  /** Lines of the pool that were not taken, with the bytes that they would have had. */
  readonly left: readonly SeenLine[];
  readonly limits: SeenLimits;
  /** Numbers of lines that it may not have. */
  readonly takenSizes: ReadonlySet<number>;
}

/** Shares of the limits that a number of lines uses: each at most 1, the largest says how full the batch is. */
function sharesOf(lines: readonly SeenLine[], limits: SeenLimits): Readonly<Record<string, number>> {
  let bytes = limits.frameBytes;
  let tokens = 0;
  let inputs = 0;
  for (const line of lines) {
    bytes += line.bytes + 1;
    tokens += line.tokens;
    inputs += line.embeddingInputs;
  }
  return {
    lines: share(lines.length, limits.linesMax),
    bytes: bytes / limits.bytesMax,
    tokens: share(tokens, limits.tokensLeft),
    "embedding inputs": share(inputs, limits.embeddingInputsMax),
  };
}

function share(used: number, most: number | null): number {
  if (most === null || used === 0) return 0;
  return used / most;
}

/** Limits that the batch passes, in words. */
export function limitFaults({ lines, limits, takenSizes }: SeenBatch): readonly string[] {
  const faults = Object.entries(sharesOf(lines, limits))
    .filter(([, used]) => used > 1)
    .map(([name, used]) => `a batch takes ${String(used)} of its ${name}`);
  for (const { no, bytes } of lines)
    if (bytes > limits.lineBytesMax) faults.push(`line ${String(no)} has ${String(bytes)} bytes`);
  if (takenSizes.has(lines.length)) faults.push(`another batch of ${String(lines.length)} lines is not over`);
  if (new Set(lines.map(({ no }) => no)).size < lines.length) faults.push("a line stands in a batch twice");
  return faults;
}

const FULL = 0.95;
/** A gap larger than this can't be owed to lines that are at most so large. */
const SMALL = 0.05;

/** What a batch leaves out though it has room for it, in words. */
export function fillFaults(seen: SeenBatch): readonly string[] {
  // Cut down to the next free number of lines: with others of its pool it might have come to a larger one, which nobody asks for.
  if (seen.takenSizes.has(seen.lines.length + 1)) return [];
  const faults: string[] = [];
  const more = sizesThatFit(seen).filter((size) => !seen.takenSizes.has(size));
  if (more.length > 0)
    faults.push(`${String(seen.lines.length)} lines in a batch that takes ${String(Math.max(...more))}`);
  const fill = Math.max(...Object.values(sharesOf(seen.lines, seen.limits)));
  if (fill < FULL && loadAllows(seen)) faults.push(`a batch is filled to ${String(fill)}`);
  return faults;
}

/** Numbers of lines that the batch could have with lines that were left, the smallest first. */
function sizesThatFit({ lines, left, limits }: SeenBatch): readonly number[] {
  const sizes: number[] = [];
  const whole = [...lines];
  for (const line of [...left].sort((one, other) => one.bytes - other.bytes)) {
    if (line.bytes > limits.lineBytesMax) continue;
    whole.push(line);
    if (Object.values(sharesOf(whole, limits)).every((used) => used <= 1)) sizes.push(whole.length);
    else whole.pop();
  }
  return sizes;
}

/** Lines that are small beside every limit would alone fill the batch, whatever else waits. */
function loadAllows({ lines, left, limits }: SeenBatch): boolean {
  const small = [...lines, ...left].filter((line) => {
    const { lines: _count, bytes, ...others } = sharesOf([line], { ...limits, frameBytes: 0 });
    return [bytes ?? 0, ...Object.values(others)].every((used) => used <= SMALL);
  });
  return Math.max(...Object.values(sharesOf(small, limits))) >= FULL;
}

export interface OracleJob {
  readonly no: number;
  readonly mode: "auto" | "direct" | "batch";
  readonly arrivesAtMs: number;
  readonly deadlineMs: number;
  readonly routes: readonly OracleRoute[];
}

/** A way to serve a job, and how long it takes in this world from its arrival to its stored answer when it is sent alone. */
export interface OracleRoute {
  readonly account: string;
  readonly by: "direct" | "batch";
  readonly latencyMs: number;
  readonly tokens: number;
  /** Over what the account has in batches at one time; null: not limited. */
  readonly tokensMax: number | null;
  readonly batchesMax: number | null;
}

interface Sent extends OracleRoute {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Jobs whose deadline is met by sending each alone at its arrival by the fastest feasible route, limits drawn down by jobs of earlier
 * deadline only.
 * @returns their numbers.
 */
export function metByOracle(jobs: readonly OracleJob[]): ReadonlySet<number> {
  const met = new Set<number>();
  const sent: Sent[] = [];
  const earliestFirst = [...jobs].sort((one, other) => one.deadlineMs - other.deadlineMs || one.no - other.no);
  for (const job of earliestFirst) {
    const [fastest] = job.routes
      .filter(({ by }) => job.mode === "auto" || job.mode === by)
      .filter((route) => hasRoom(route, job.arrivesAtMs, sent))
      .sort((one, other) => one.latencyMs - other.latencyMs);
    if (fastest === undefined || job.arrivesAtMs + fastest.latencyMs > job.deadlineMs) continue;
    met.add(job.no);
    if (fastest.by === "batch")
      sent.push({ ...fastest, fromMs: job.arrivesAtMs, toMs: job.arrivesAtMs + fastest.latencyMs });
  }
  return met;
}

function hasRoom(route: OracleRoute, atMs: number, sent: readonly Sent[]): boolean {
  if (route.by === "direct") return true;
  const out = sent.filter(({ account, fromMs, toMs }) => account === route.account && fromMs <= atMs && atMs < toMs);
  const tokens = out.reduce((sum, one) => sum + one.tokens, route.tokens);
  return tokens <= (route.tokensMax ?? Infinity) && out.length < (route.batchesMax ?? Infinity);
}
