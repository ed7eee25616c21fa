/** What the jobs of a run ask for: nothing, or some a call at once and the others a batch if that is cheaper. */
export type JobMix = "plain" | "mixed";

export const JOB_MIXES = ["plain", "mixed"] as const satisfies readonly JobMix[];

/** In the words of a job. */
export interface JobTerms {
  readonly mode: "direct" | "auto";
  readonly ttlMs: number;
}

const AT_ONCE: JobTerms = { mode: "direct", ttlMs: 30_000 };
const MAY_WAIT: JobTerms = { mode: "auto", ttlMs: 86_400_000 };
const TASKS_OF_A_FILM = 5;

/** Mixed: three of ten films in a row want their five answers at once, so that each kind of task is in both parts. Null: the job says nothing. */
export function termsOf(mix: JobMix, number: number): JobTerms | null {
  if (mix === "plain") return null;
  return Math.floor(number / TASKS_OF_A_FILM) % 10 < 3 ? AT_ONCE : MAY_WAIT;
}
