import type { SessionNo } from "../../../src/domain/ids.js";
import type { AnswerJournal, EarlierAnswers } from "../../../src/ports/answer-journal.js";
import type { FinishedCall } from "../../../src/ports/ledger.js";
import type { Life, World } from "./world.js";

/** What outlives a killed router: the answers of each session, by attempt. */
export type JournalDisk = Map<SessionNo, Map<number, FinishedCall>>;

export interface FakeJournalParts {
  readonly world: World;
  readonly life: Life;
  readonly session: SessionNo;
  /** Of all routers, living ones included: a session may read, and forget, what another one still keeps. */
  readonly disk: JournalDisk;
  /** Of what is kept, and of what is stored and should go. */
  readonly lossChance: () => number;
  /** What a session takes over: it knows by then what of it the ledger lacks, and has it kept again. */
  readonly takenOver: (calls: readonly FinishedCall[]) => void;
}

/** Loses some of what it should keep, and keeps some of what it should lose. */
export class FakeJournal implements AnswerJournal {
  readonly #parts: FakeJournalParts;
  readonly #own = new Map<number, FinishedCall>();
  readonly #earlier: readonly Map<number, FinishedCall>[];

  constructor(parts: FakeJournalParts) {
    this.#parts = parts;
    this.#earlier = [...parts.disk.values()];
    parts.disk.set(parts.session, this.#own);
  }

  keep(call: FinishedCall): void {
    if (!this.#fails()) this.#own.set(call.attempt.no, structuredClone(call));
  }

  stored(calls: readonly FinishedCall[]): void {
    for (const { attempt } of calls) if (!this.#fails()) this.#own.delete(attempt.no);
  }

  async earlier(): Promise<EarlierAnswers> {
    const { world, life, takenOver } = this.#parts;
    const calls = this.#earlier.flatMap((kept) => [...kept.values()]);
    await world.step(life, "journal-read");
    return {
      calls,
      forget: () => {
        takenOver(calls);
        for (const { attempt } of calls) for (const kept of this.#earlier) kept.delete(attempt.no);
      },
    };
  }

  close(): void {
    if (this.#own.size === 0) this.#parts.disk.delete(this.#parts.session);
  }

  #fails(): boolean {
    return this.#parts.world.random.chance(this.#parts.lossChance());
  }
}
