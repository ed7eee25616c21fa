import type { EpochMs } from "../ids.js";
import type { BatchWayRules } from "./batch-rules.js";
import { moreUrgent, type Waiting } from "./fair-order.js";

/**
 * Which of the waiting lines make one batch, and in which order they lie in it: pure.
 *
 * Lines are taken in the order given, each that still fits: what a large one leaves is filled by smaller ones behind it. A line takes its
 * bytes, its id and a separator; the frame around all of them counts too. No limit is passed by a line, a byte, a token or an input.
 */

/** The longest id that a line has: see `attemptId`. */
export const LINE_ID_BYTES_MAX = 17;

/** What one batch takes. Null: not limited. */
export interface PackLimits {
  readonly linesMax: number | null;
  readonly bytesMax: number;
  readonly frameBytes: number;
  readonly lineBytesMax: number;
  readonly embeddingInputsMax: number | null;
  readonly tokensMax: number | null;
}

/** A waiting line, as far as packing looks at it: see `WaitingLine`. */
export interface PackedLine extends Waiting {
  readonly line: {
    readonly bytes: number;
    readonly tokens: number;
    readonly embeddingInputs: number;
    readonly prefix: number;
    readonly lookAtMs: EpochMs;
  };
}

export interface PackRequest<Line extends PackedLine> {
  /** In fair order. */
  readonly lines: readonly Line[];
  readonly limits: PackLimits;
  /** Of each line: the length of `attemptId` of the highest number that one may get where it is known, else the longest there is. */
  readonly idBytes: number;
  /**
   * Lines that have to be in a batch by then go before all others, tenants' turns or not. Now and `deadlineLeadMs`: no further, since a
   * deadline that is near enough would else buy a turn from tenants who wait.
   */
  readonly urgentUntilMs: EpochMs;
  /** Numbers of lines that a batch of the account may not have: where the provider keeps no mark, size tells batches apart. */
  readonly takenSizes: ReadonlySet<number>;
}

export interface Packed<Line extends PackedLine> {
  /** In the order of the batch: equal prefixes side by side, so that the provider's prompt cache hits; the most urgent first. */
  readonly lines: readonly Line[];
  /** Upper bound of the sum over the lines of (bytes + 1), with ids. */
  readonly linesBytes: number;
  readonly tokens: number;
  readonly embeddingInputs: number;
}

/** The provider's limits and the operator's lower ones together. @param linesMax a lower bound of one batch, as after a refusal. */
export function packLimits(
  way: BatchWayRules,
  own: { readonly linesMax: number | null; readonly bytesMax: number | null },
  tokensMax: number | null,
  linesMax: number | null = null,
): PackLimits {
  return {
    linesMax: lower(lower(way.linesMax, own.linesMax), linesMax),
    bytesMax: Math.min(way.bytesMax, own.bytesMax ?? way.bytesMax),
    frameBytes: way.frameBytes,
    lineBytesMax: way.lineBytesMax,
    embeddingInputsMax: way.embeddingInputsMax,
    tokensMax,
  };
}

function lower(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}

/** After a refusal that names no line: the next batch of the same lines is at most half as large, until the faulty one is alone. */
export function bisectedLinesMax(refusedLines: number): number {
  return Math.max(1, Math.floor(refusedLines / 2));
}

/** Why no batch ever takes the line, in words; null when one can. */
export function reasonOfSize(
  line: Pick<PackedLine["line"], "bytes" | "tokens" | "embeddingInputs">,
  limits: PackLimits,
): string | null {
  const bytes = line.bytes + LINE_ID_BYTES_MAX;
  if (bytes > limits.lineBytesMax)
    return `its line has ${String(bytes)} bytes, one may have ${String(limits.lineBytesMax)}`;
  const alone = limits.frameBytes + bytes + 1;
  if (alone > limits.bytesMax)
    return `alone in a batch it has ${String(alone)} bytes, one may have ${String(limits.bytesMax)}`;
  if (limits.tokensMax !== null && line.tokens > limits.tokensMax)
    return `it is estimated at ${String(line.tokens)} tokens, the account may have ${String(limits.tokensMax)} in batches`;
  const { embeddingInputsMax } = limits;
  if (embeddingInputsMax !== null && line.embeddingInputs > embeddingInputsMax)
    return `it embeds ${String(line.embeddingInputs)} texts, a batch may have ${String(embeddingInputsMax)}`;
  return null;
}

/** @returns no lines when none fits, or when every size up to what fits is taken: then more lines have to come. */
export function packBatch<Line extends PackedLine>(request: PackRequest<Line>): Packed<Line> {
  const { urgentUntilMs, lines } = request;
  const isUrgent = ({ line }: Line) => line.lookAtMs <= urgentUntilMs;
  const order = [...lines.filter(isUrgent).sort(moreUrgent), ...lines.filter((line) => !isUrgent(line))];
  const load = new Load(request);
  const taken: Line[] = [];
  for (const line of order) {
    if (load.isFull) break;
    if (load.take(line.line)) taken.push(line);
  }
  // What goes is what came last in its turn.
  while (taken.length > 0 && request.takenSizes.has(taken.length)) load.giveBack(taken.pop()?.line);
  return { lines: inBatchOrder(taken), ...load.sums };
}

/** The sums over the lines taken so far, never beyond a limit. */
class Load {
  readonly #limits: PackLimits;
  readonly #idBytes: number;
  #lines = 0;
  #linesBytes = 0;
  #tokens = 0;
  #embeddingInputs = 0;

  constructor({ limits, idBytes }: Pick<PackRequest<PackedLine>, "limits" | "idBytes">) {
    this.#limits = limits;
    this.#idBytes = idBytes;
  }

  get sums(): Omit<Packed<PackedLine>, "lines"> {
    return { linesBytes: this.#linesBytes, tokens: this.#tokens, embeddingInputs: this.#embeddingInputs };
  }

  /** No further line fits, whatever it is. */
  get isFull(): boolean {
    const { linesMax, bytesMax, frameBytes } = this.#limits;
    if (linesMax !== null && this.#lines >= linesMax) return true;
    return frameBytes + this.#linesBytes + this.#idBytes + 1 >= bytesMax;
  }

  take(line: PackedLine["line"]): boolean {
    const { linesMax, bytesMax, frameBytes, tokensMax, embeddingInputsMax, lineBytesMax } = this.#limits;
    const bytes = line.bytes + this.#idBytes;
    const fits =
      bytes <= lineBytesMax &&
      this.#lines + 1 <= (linesMax ?? Number.POSITIVE_INFINITY) &&
      frameBytes + this.#linesBytes + bytes + 1 <= bytesMax &&
      this.#tokens + line.tokens <= (tokensMax ?? Number.POSITIVE_INFINITY) &&
      this.#embeddingInputs + line.embeddingInputs <= (embeddingInputsMax ?? Number.POSITIVE_INFINITY);
    if (fits) this.#add(line, 1);
    return fits;
  }

  giveBack(line: PackedLine["line"] | undefined): void {
    if (line !== undefined) this.#add(line, -1);
  }

  #add({ bytes, tokens, embeddingInputs }: PackedLine["line"], times: 1 | -1): void {
    this.#lines += times;
    this.#linesBytes += times * (bytes + this.#idBytes + 1);
    this.#tokens += times * tokens;
    this.#embeddingInputs += times * embeddingInputs;
  }
}

/** Groups of one prefix, the group with the most urgent line first; inside a group the most urgent first. */
function inBatchOrder<Line extends PackedLine>(lines: readonly Line[]): readonly Line[] {
  const groups = new Map<number, Line[]>();
  for (const one of [...lines].sort(moreUrgent)) {
    const known = groups.get(one.line.prefix);
    if (known === undefined) groups.set(one.line.prefix, [one]);
    else known.push(one);
  }
  return [...groups.values()].flat();
}
