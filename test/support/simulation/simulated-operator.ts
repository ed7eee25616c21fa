import { NO_SETTINGS } from "../../../src/domain/dead-letter/replay-settings.js";
import type { JobAdmission } from "../../../src/domain/job/admit.js";
import type { AdmittedJob } from "../../../src/domain/job/job.js";
import { parseEnvelope } from "../../../src/domain/result/envelope.js";
import { isRegistryFramed, type ValueDecoder } from "../../../src/ports/value-decoder.js";
import { JOBS_TOPIC, RENDER } from "./fixture.js";
import { LedgerAway, type MemoryDatabase } from "./memory-database.js";
import type { MemoryLedger } from "./memory-ledger.js";
import type { MemoryReplayed } from "./memory-replay.js";
import type { DeadLetterRow, JobRow } from "./memory-rows.js";
import type { Life, World } from "./world.js";

export interface OperatorParts {
  readonly world: World;
  readonly life: Life;
  readonly database: MemoryDatabase;
  readonly ledger: MemoryLedger;
  readonly admission: JobAdmission;
  readonly decoder: ValueDecoder;
  readonly replayed: (outcome: MemoryReplayed) => void;
}

/** As the simulated routers have it. */
const DEAD_AFTER_MS = 15_000;

/** A person with the product's commands: `sluice dlq replay --parked` for every letter that there is, `sluice topics adopt`. */
export class SimulatedOperator {
  readonly #parts: OperatorParts;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    const { ledger, database, life } = this.#parts;
    const session = await this.#untilAnswered(() => ledger.openOperatorSession(life.name));
    for (const letter of [...database.deadLetters.committed.values()]) {
      // Serial: one transaction a letter.
      const first = await this.#replay(session, letter, null);
      const isWithoutRequest = first.kind === "refused" && first.why === "no_request";
      const readmitted = isWithoutRequest ? await this.#readmit(letter) : null;
      this.#parts.replayed(readmitted === null ? first : await this.#replay(session, letter, readmitted));
    }
  }

  /** Adopts what `sluice status` lists as stopped, from the log's first record on. @returns how many. */
  async adoptStopped(low: (partition: number) => number): Promise<number> {
    const { ledger, life, world } = this.#parts;
    const stops = await this.#untilAnswered(() => ledger.stopsOf(JOBS_TOPIC, DEAD_AFTER_MS));
    let adopted = 0;
    for (const { partition } of stops) {
      // Serial: one transaction a partition.
      const session = await this.#untilAnswered(() => ledger.openOperatorSession(life.name));
      const expected = await this.#untilAnswered(() => ledger.position(JOBS_TOPIC, partition));
      if (expected === null) continue;
      const action = { byWhom: life.name, atMs: Math.floor(world.nowMs) };
      const adoption = {
        topic: JOBS_TOPIC,
        partition,
        expected,
        from: low(partition),
        isLogStart: true,
        session,
        action,
      };
      if (await this.#untilAnswered(() => ledger.adoptPosition(adoption, RENDER))) adopted += 1;
    }
    return adopted;
  }

  #replay(session: number, { no }: DeadLetterRow, readmitted: AdmittedJob | null): Promise<MemoryReplayed> {
    const { ledger, life } = this.#parts;
    const request = { letterNo: no, byWhom: life.name, session, settings: NO_SETTINGS, parked: true, readmitted };
    return this.#untilAnswered(() => ledger.replayLetter(request, RENDER));
  }

  /** A person gives the command again. */
  async #untilAnswered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof LedgerAway)) throw error;
        // Serial: the same again.
        await this.#parts.world.wait(this.#parts.life, "command-again", 500);
      }
    }
  }

  async #readmit({ job }: DeadLetterRow): Promise<AdmittedJob | null> {
    const { database, admission, decoder, world } = this.#parts;
    const row: JobRow | undefined = database.jobs.committed.get(job?.no ?? -1);
    if (row === undefined) return null;
    const envelope = parseEnvelope(row.envelope);
    const { value } = row.record;
    const record = { ...envelope.source, timestampMs: envelope.submittedAtMs, key: null, value, headers: [] };
    const nowMs = Math.floor(world.nowMs);
    const decoded = isRegistryFramed(value) ? await decoder.decode(value) : null;
    if (decoded !== null && decoded.kind !== "decoded") return null;
    const admitted =
      decoded === null ? admission.admit(record, nowMs) : admission.admitAvro(record, decoded.document, nowMs);
    return admitted.kind === "job" ? admitted.job : null;
  }
}
