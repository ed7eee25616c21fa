import type { SessionNo } from "../../../src/domain/ids.js";
import type { EarlierWork, Journal } from "../../../src/ports/journal.js";
import type { EndedSession, FinishedCall } from "../../../src/ports/ledger.js";
import type { Life, World } from "./world.js";

/** What outlives a killed router, by session. */
export type JournalDisk = Map<SessionNo, KeptWork>;

interface KeptWork {
  readonly life: Life;
  readonly stamp: string;
  readonly answers: Map<number, FinishedCall>;
  readonly sent: Set<number>;
}

export interface FakeJournalParts {
  readonly world: World;
  readonly life: Life;
  readonly session: SessionNo;
  readonly stamp: string;
  /** Of all routers, living ones included: a session may read, and forget, what another one still keeps. */
  readonly disk: JournalDisk;
  /** Of what is kept, and of what is stored and should go; 1: there is no journal. */
  readonly lossChance: number;
  /** What a session takes over: it knows by then what of it the ledger lacks, and has it kept again. */
  readonly takenOver: (answers: readonly FinishedCall[]) => void;
  /** What it is told of sessions that are over. */
  readonly told: (ended: readonly EndedSession[]) => void;
}

/** Loses some answers that it should keep, and keeps some that it should lose. Of what was sent it loses nothing. */
export class FakeJournal implements Journal {
  readonly #parts: FakeJournalParts;
  readonly #own: KeptWork;
  readonly #earlier: readonly (readonly [SessionNo, KeptWork])[];

  constructor(parts: FakeJournalParts) {
    const { life, stamp, session, disk, lossChance } = parts;
    this.#parts = parts;
    this.#earlier = [...disk];
    this.#own = { life, stamp, answers: new Map(), sent: new Set() };
    if (lossChance < 1) disk.set(session, this.#own);
  }

  sending(attemptNo: number): boolean {
    this.#own.sent.add(attemptNo);
    return true;
  }

  keep(call: FinishedCall): void {
    if (!this.#fails()) this.#own.answers.set(call.attempt.no, structuredClone(call));
  }

  stored(calls: readonly FinishedCall[]): void {
    for (const { attempt } of calls) if (!this.#fails()) this.#own.answers.delete(attempt.no);
  }

  async earlier(): Promise<EarlierWork> {
    const { world, life, disk, takenOver, told } = this.#parts;
    await world.step(life, "journal-read");
    const answers = this.#earlier.flatMap(([, kept]) => [...kept.answers.values()]);
    const ended = this.#earlier
      .filter(([, kept]) => kept.life.dead)
      .map(([session, { stamp, sent }]) => ({ session, stamp, mayHaveSent: new Set(sent) }));
    told(ended);
    return {
      answers,
      ended,
      forget: () => {
        takenOver(answers);
        for (const { attempt } of answers) for (const [, kept] of this.#earlier) kept.answers.delete(attempt.no);
        for (const { session } of ended) disk.delete(session);
      },
    };
  }

  close(): void {
    if (this.#own.answers.size === 0) this.#parts.disk.delete(this.#parts.session);
  }

  #fails(): boolean {
    return this.#parts.world.random.chance(this.#parts.lossChance);
  }
}
