/** What the load is made of: providers and modes, each with its share of the jobs. */
export interface JobKind {
  /** In keys of records and in the report. */
  readonly name: string;
  readonly provider: "openai" | "anthropic" | "gemini";
  readonly mode: "direct" | "batch";
  readonly model: string;
  /** Of twenty jobs. */
  readonly parts: number;
}

export const JOB_KINDS: readonly JobKind[] = [
  { name: "openai-direct", provider: "openai", mode: "direct", model: "gpt-4.1-mini", parts: 12 },
  { name: "anthropic-direct", provider: "anthropic", mode: "direct", model: "claude-haiku-4-5", parts: 3 },
  { name: "gemini-direct", provider: "gemini", mode: "direct", model: "gemini-2.5-flash", parts: 3 },
  { name: "openai-batch", provider: "openai", mode: "batch", model: "gpt-4.1-mini", parts: 2 },
];
const WHEEL: readonly JobKind[] = spread(JOB_KINDS);

/** Jobs of one kind do not come in a row: each has its places in a wheel of twenty. */
function spread(kinds: readonly JobKind[]): readonly JobKind[] {
  const places = kinds.flatMap((kind) =>
    Array.from({ length: kind.parts }, (_unused, index) => ({ kind, at: (index + 0.5) / kind.parts })),
  );
  return places.sort((one, other) => one.at - other.at).map(({ kind }) => kind);
}

export function kindOf(number: number): JobKind {
  const kind = WHEEL[number % WHEEL.length];
  if (kind === undefined) throw new Error("InvariantError: the wheel has a kind in each place");
  return kind;
}

/** A record's key, which comes back as its result's: what it was and when it was due. */
export function keyOf(number: number, dueAtMs: number): string {
  return `${kindOf(number).name}.${String(number)}.${dueAtMs.toFixed(0)}`;
}

/** @returns null for a key of somebody else. */
export function readKey(key: string): { readonly kind: string; readonly dueAtMs: number } | null {
  const [kind = "", number = "", dueAt = ""] = key.split(".");
  const isOurs = JOB_KINDS.some(({ name }) => name === kind) && /^\d+$/.test(number) && /^\d+$/.test(dueAt);
  return isOurs ? { kind, dueAtMs: Number(dueAt) } : null;
}

export function jobValue(number: number, run: string): string {
  const kind = kindOf(number);
  return JSON.stringify({
    jobId: `${run}-${String(number)}`,
    tenant: "load",
    mode: kind.mode,
    body: {
      model: kind.name,
      messages: [
        { role: "user", content: `What is the style of the director of film number ${String(number)} of ${run}?` },
      ],
      max_tokens: 64,
    },
  });
}
