import { describe, expect, test } from "@jest/globals";
import { LOG_START_WITNESS } from "../../src/domain/dedupe/record-witness.js";
import type { SessionNo } from "../../src/domain/ids.js";
import { JOBS_TOPIC, RENDER } from "../support/simulation/fixture.js";
import type { LedgerBench } from "./ledger-bench.js";

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;

/** Cases of the ledger's suite about who began to read a partition where: a record that ends its readers is found by it. */
export function turnCases(at: { readonly bench: LedgerBench }): void {
  const begin = (session: SessionNo, partition = 0) => at.bench.ledger.beginTurn(session, JOBS_TOPIC, partition);
  const open = () => at.bench.ledger.openSession("reader");
  /** All living sessions are silent from now on: they are declared dead. The bench's own is replaced. */
  const everybodyDies = async (): Promise<void> => {
    const recoverer = await open();
    await at.bench.ledger.recoverDeadSessions(recoverer, -1000, () => 0, RENDER);
    at.bench.session = await open();
  };

  describe("a position", () => {
    test("[B9] says that the log began there until something of it is accepted, and is opened once", async () => {
      const { ledger } = at.bench;
      await ledger.openPosition(JOBS_TOPIC, 1, 5);
      await ledger.openPosition(JOBS_TOPIC, 1, 9);
      expect(await ledger.position(JOBS_TOPIC, 1)).toEqual({ next: 5, witness: LOG_START_WITNESS, adoptions: 0 });
      await ledger.openPosition(JOBS_TOPIC, 0, 0);
      await at.bench.accept([await at.bench.job(WISH, true)]);
      const { witness } = (await ledger.position(JOBS_TOPIC, 0)) ?? {};
      expect(witness).toHaveLength(8);
    });
  });

  describe("turns at a position", () => {
    test("[A16] count sessions that end there, whether they were declared dead yet or not", async () => {
      expect(await begin(await open())).toEqual({ turns: 1, markedUpto: null });
      expect(await begin(await open())).toEqual({ turns: 2, markedUpto: null });
      await everybodyDies();
      expect(await begin(await open())).toEqual({ turns: 3, markedUpto: null });
    });

    test("[A16] count a session once, however often the partition comes to it", async () => {
      const session = await open();
      for (let generation = 0; generation < 5; generation += 1)
        expect(await begin(session)).toEqual({ turns: 1, markedUpto: null });
    });

    test("[A16] do not count sessions that left in order", async () => {
      for (let deploy = 0; deploy < 5; deploy += 1) {
        const session = await open();
        expect((await begin(session)).turns).toBe(1);
        await at.bench.ledger.endSession(session);
      }
    });

    test("[A16] begin anew once the position has moved", async () => {
      await begin(await open());
      await begin(await open());
      await at.bench.accept([await at.bench.job(WISH, true)]);
      expect(await begin(await open())).toEqual({ turns: 1, markedUpto: null });
    });

    test("[A16] are counted for each partition of its own", async () => {
      await at.bench.ledger.openPosition(JOBS_TOPIC, 1, 0);
      await begin(await open());
      await begin(await open());
      expect(await begin(await open(), 1)).toEqual({ turns: 1, markedUpto: null });
    });
  });

  describe("a mark", () => {
    const mark = () => at.bench.ledger.mark(JOBS_TOPIC, 0);
    const write = (session: SessionNo, offset: number, upto = offset + 1) =>
      at.bench.ledger.markRecords(session, { topic: JOBS_TOPIC, partition: 0, offset, upto });

    test("[A16] tells how its session stands", async () => {
      const [first, second] = [await open(), await open()];
      await begin(first);
      expect(await mark()).toBeNull();
      expect(await write(first, 0)).toBe(true);
      expect(await mark()).toMatchObject({ offset: 0, upto: 1, last: { by: first, fate: "beats" }, earlier: null });
      expect(await begin(second)).toEqual({ turns: 2, markedUpto: 1 });
      await at.bench.ledger.endSession(first);
      expect(await mark()).toMatchObject({ last: { by: first, fate: "left" } });
      expect(await write(second, 0)).toBe(true);
      await everybodyDies();
      expect(await mark()).toMatchObject({ last: { by: second, fate: "died" }, earlier: { by: first, fate: "left" } });
    });

    test("[A16] remembers who had marked its records before, alone or among others, and forgets who had not", async () => {
      const [first, second, third, fourth] = [await open(), await open(), await open(), await open()];
      await begin(first);
      const markers = async () => {
        const { offset, upto, last, earlier } = (await mark()) ?? {};
        return [offset, upto, last?.by, earlier?.by];
      };
      await write(first, 0, 50);
      expect(await markers()).toEqual([0, 50, first, undefined]);
      expect((await begin(second)).markedUpto).toBe(50);
      await write(second, 0);
      expect(await markers()).toEqual([0, 1, second, first]);
      await write(second, 1); // on its way through what the first had marked
      expect(await markers()).toEqual([1, 2, second, first]);
      await write(third, 1);
      expect(await markers()).toEqual([1, 2, third, second]);
      await write(third, 1); // the partition came to it again
      expect(await markers()).toEqual([1, 2, third, second]);
      await write(third, 49);
      expect(await markers()).toEqual([49, 50, third, undefined]); // the second had never come so far
      await write(fourth, 50, 100);
      expect(await markers()).toEqual([50, 100, fourth, undefined]);
    });

    test("[A16] says whether the one before had marked nothing else", async () => {
      const [first, second, third] = [await open(), await open(), await open()];
      await begin(first);
      await write(first, 0, 50);
      await write(second, 0);
      expect(await mark()).toMatchObject({ earlier: { by: first, alone: false } });
      await write(second, 1); // on its way through what the first had marked
      expect(await mark()).toMatchObject({ earlier: { by: first, alone: false } });
      await write(third, 1);
      expect(await mark()).toMatchObject({ earlier: { by: second, alone: true } });
    });

    test("[A16] says nothing any more once its record was accepted", async () => {
      const session = await open();
      await begin(session);
      await write(session, 0);
      await at.bench.accept([await at.bench.job(WISH, true)]);
      expect(await mark()).toBeNull();
      expect(await begin(await open())).toEqual({ turns: 1, markedUpto: null });
    });

    test("[A16] is not written for a session that has ended", async () => {
      const session = await open();
      await begin(session);
      await at.bench.ledger.endSession(session);
      expect(await write(session, 0)).toBe(false);
      expect(await mark()).toBeNull();
    });
  });
}
