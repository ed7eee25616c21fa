/** A few jobs, by which is seen that a router reads; then a flow of them; then none until the next round; in the end all that are left. */
export type PublishingPhase = "pilot" | "flow" | "nothing" | "rest";

/** By so many records is seen that a router reads. */
const PILOT_JOBS = 4;
/** A little longer than the longest delay of a kill, so that jobs come until the kill does. */
const FLOW_MS = 4500;

/**
 * How many jobs may be published at a moment, so that there is work around every kill and none piles up while no router reads: each round
 * has a few pilots, then an equal portion of what is left that flows until the round's first kill. What was held back then is for later rounds.
 */
export class PublishingPace {
  readonly #jobs: number;
  #roundsLeft: number;
  /** Allowed for good. */
  #base: number;
  #flow: { readonly sinceMs: number; readonly jobs: number } | null = null;

  /** Without rounds all jobs may go at once. */
  constructor(jobs: number, rounds: number) {
    this.#jobs = jobs;
    this.#roundsLeft = rounds;
    this.#base = rounds === 0 ? jobs : 0;
  }

  go(phase: PublishingPhase, nowMs: number): void {
    const allowed = this.allowedJobs(nowMs);
    this.#base = allowed;
    this.#flow = null;
    if (phase === "nothing") this.#roundsLeft = Math.max(0, this.#roundsLeft - 1);
    if (phase === "rest") this.#base = this.#jobs;
    const portion = this.#portion();
    if (phase === "pilot") this.#base += Math.min(PILOT_JOBS, Math.ceil(portion));
    if (phase === "flow") this.#flow = { sinceMs: nowMs, jobs: portion };
  }

  allowedJobs(nowMs: number): number {
    if (this.#flow === null) return this.#base;
    const { sinceMs, jobs } = this.#flow;
    const share = Math.min(1, Math.max(0, nowMs - sinceMs) / FLOW_MS);
    return Math.min(this.#jobs, this.#base + Math.floor(jobs * share));
  }

  /** Of what is left, for this round: as much as for each later one and for the time after the last kill. */
  #portion(): number {
    return (this.#jobs - this.#base) / (this.#roundsLeft + 1);
  }
}
