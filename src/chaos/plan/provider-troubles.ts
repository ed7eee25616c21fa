/** What a provider may do wrong for some seconds, in the words of the simulator's fault rules. */
export interface ProviderTrouble {
  readonly name: string;
  /** Rules as `POST /simulator/faults` takes them. */
  readonly rules: readonly Readonly<Record<string, unknown>>[];
}

const DIRECT = { operation: "openai.chat" } as const;
const trouble = (name: string, ...rules: readonly Readonly<Record<string, unknown>>[]): ProviderTrouble => ({
  name,
  rules,
});
const direct = (rate: number, fault: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => ({
  match: { ...DIRECT, rate },
  fault,
});
const at = (
  operation: string,
  rate: number,
  fault: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> => ({ match: { operation, rate }, fault });

export const PROVIDER_TROUBLES: readonly [ProviderTrouble, ...ProviderTrouble[]] = [
  trouble("429 with Retry-After", direct(0.5, { kind: "rate_limited", retryAfter: "seconds", waitMs: 1000 })),
  trouble("a batch's creation lost after it was done", at("openai.batches.create", 1, { kind: "drop_after_billed" })),
  trouble("500 and 503", direct(0.3, { kind: "status", status: 500 }), direct(0.3, { kind: "status", status: 503 })),
  trouble("connections dropped before anything was done", direct(0.5, { kind: "drop_before" })),
  trouble("answers lost after they were billed", direct(0.1, { kind: "drop_after_billed" })),
  trouble("400", direct(0.3, { kind: "status", status: 400 })),
  trouble("answers cut in half", direct(0.1, { kind: "truncate" })),
  trouble(
    "uploads and creations refused with 500",
    at("openai.files.create", 0.7, { kind: "status", status: 500 }),
    at("openai.batches.create", 0.7, { kind: "status", status: 502 }),
  ),
  trouble("hangs, unbilled", direct(0.05, { kind: "hang" })),
  trouble("slow bodies", direct(0.2, { kind: "trickle", bytesPerS: 400 })),
  trouble("a web page with status 200", direct(0.2, { kind: "html_200" })),
  trouble("hangs, billed", direct(0.05, { kind: "hang", billed: true })),
  trouble(
    "polls and downloads fail",
    at("openai.batches.get", 0.5, { kind: "status", status: 500 }),
    at("openai.files.content", 0.5, { kind: "truncate" }),
  ),
  trouble(
    "lines missing, repeated, unknown and out of order",
    ...["batch_lines_missing", "batch_lines_repeated", "batch_lines_unknown", "batch_lines_reordered"].map((kind) => ({
      match: { rate: 0.5 },
      fault: { kind },
    })),
  ),
];
