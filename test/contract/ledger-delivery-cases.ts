import { describe, expect, test } from "@jest/globals";
import type { Outgoing } from "../../src/domain/result/outgoing.js";
import { createRenderer } from "../../src/domain/result/render.js";
import type { GivenUp, OutboxGroup } from "../../src/ports/ledger.js";
import type { ProviderAnswer } from "../../src/ports/provider.js";
import {
  COSTS_TOPIC,
  DLQ_TOPIC,
  jobValue,
  JOBS_TOPIC,
  RENDER,
  RENDER_SETTINGS,
  RESULTS_TOPIC,
} from "../support/simulation/fixture.js";
import {
  ANSWER_NANO_USD,
  answerTo,
  codesIn,
  costsIn,
  failureOf,
  recordsOf,
  resultsIn,
  type LedgerBench,
} from "./ledger-bench.js";

const WISH = { jobId: "a", tenant: "catalogue", prompt: "why" } as const;
/** Results begin as Avro does in the registry's framing: with 0 and the schema's id. */
const RENDER_FRAMED = createRenderer({
  ...RENDER_SETTINGS,
  encoders: {
    result: { contentType: "application/vnd.confluent.avro", encode: () => Buffer.from([0, 0, 0, 0, 7, 2, 97]) },
    cost: null,
    event: null,
  },
});
const REASON = "MESSAGE_TOO_LARGE: more than the topic takes";
/** Results of a million bytes, 16,384 of them for all but the answer. */
const ANSWER_BYTES_MAX = 983_616;

/** An answer of so many bytes; the words are two bytes each in UTF-8. */
function answerOf(bytes: number): ProviderAnswer {
  const frame = Buffer.byteLength('{"text":""}');
  const text = "ä".repeat(Math.floor((bytes - frame) / 2)) + "x".repeat((bytes - frame) % 2);
  return { ...answerTo("why"), bodyText: `{"text":"${text}"}` };
}

interface ResultCost {
  readonly jobId: string;
  readonly error: { readonly message: string } | null;
  readonly cost: { readonly nanoUsd: string | null; readonly billing: string | null; readonly costId: string | null };
  readonly attempts: readonly { readonly outcome: string; readonly costId: string | null }[];
}

function documentsIn(outbox: readonly OutboxGroup[]): ResultCost[] {
  return recordsOf(outbox, "result").map((record) => JSON.parse(record.value?.toString("utf8") ?? "") as ResultCost); // our own
}

function headerOf(record: Outgoing | undefined, name: string): string | null {
  const value = record?.headers.findLast(([header]) => header === name)?.[1];
  return value === undefined ? null : value.toString();
}

/** Cases of the ledger's suite about records that can't be published as they are. */
export function deliveryCases(at: { readonly bench: LedgerBench }): void {
  /** Gives the first record of a kind up. */
  async function giveUp(outbox: readonly OutboxGroup[], kind: Outgoing["kind"]): Promise<GivenUp> {
    const group = outbox.find(({ records }) => records.some((record) => record.kind === kind));
    const record = group?.records.find((candidate) => candidate.kind === kind);
    if (group === undefined || record === undefined) throw new Error(`the outbox holds no ${kind}`);
    return at.bench.ledger.giveUpOutgoing(at.bench.session, [{ seq: group.seq, record, reason: REASON }], RENDER);
  }

  /** What a router that looks now would publish. */
  async function waiting(butNot: readonly string[] = []): Promise<readonly string[]> {
    const groups = await at.bench.ledger.takeOutbox(at.bench.session, 10, -1000, butNot);
    return groups.flatMap(({ records }) => records.map(({ kind, topic }) => `${kind} to ${topic}`)).sort();
  }

  describe("an answer that is too long for a result", () => {
    test("fails its jobs with both sizes in the message, and is charged once", async () => {
      const held = await at.bench.start(WISH);
      await at.bench.accept([await at.bench.job({ ...WISH, jobId: "b" }, true)]);
      const { outbox, ended } = await at.bench.finish([at.bench.ended(held, answerOf(ANSWER_BYTES_MAX + 1))]);
      expect(resultsIn(outbox)).toMatchObject([
        { jobId: "a", status: "failed", code: "RESULT_TOO_LARGE", served: "call" },
        { jobId: "b", status: "failed", code: "RESULT_TOO_LARGE", served: "coalesced" },
      ]);
      expect(ended).toMatchObject(["a", "b"].map(() => ({ status: "failed", code: "RESULT_TOO_LARGE" })));
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }]);
      expect(codesIn(outbox)).toEqual([]);
      const [paying, joined] = documentsIn(outbox).sort((one, other) => (one.jobId < other.jobId ? -1 : 1));
      expect(paying?.error?.message).toContain("983617 bytes; a result has room for 983616");
      expect(paying?.cost).toMatchObject({ nanoUsd: ANSWER_NANO_USD.toString(), billing: "charged" });
      expect(paying?.attempts).toEqual([
        expect.objectContaining({ outcome: "bad_answer", costId: paying?.cost.costId }),
      ]);
      expect(joined?.cost).toMatchObject({ nanoUsd: "0", billing: null, costId: null });
    });

    test("is one from the first byte too many on, and serves nobody later", async () => {
      const most = await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerOf(ANSWER_BYTES_MAX))]);
      expect(resultsIn(most.outbox)).toMatchObject([{ status: "succeeded" }]);
      const other = { ...WISH, jobId: "b", prompt: "how" };
      await at.bench.finish([at.bench.ended(await at.bench.start(other), answerOf(ANSWER_BYTES_MAX + 1))]);
      expect((await at.bench.accept([await at.bench.job({ ...other, jobId: "c" }, true)])).kinds).toEqual(["started"]);
    });

    test("that was cut off has a cost that nobody knows, at most the attempt's own", async () => {
      const cut = { ...failureOf("bad_response", "answered", 200), cutOffBytes: 33_554_432 };
      const { outbox } = await at.bench.finish([at.bench.ended(await at.bench.start(WISH), cut)]);
      expect(resultsIn(outbox)).toMatchObject([{ status: "failed", code: "RESULT_TOO_LARGE" }]);
      expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "suspect", nanoUsd: null }]);
      const [document] = documentsIn(outbox);
      expect(document?.error?.message).toContain("responseBytesMax (33554432 bytes)");
      expect(document?.cost).toMatchObject({ nanoUsd: null, maxNanoUsd: "2000000", billing: "suspect" });
    });
  });

  test("a bad answer that was the last try is charged to the job that it fails", async () => {
    const intent = await at.bench.intent(5);
    const item = { ...(await at.bench.job(WISH, true)), intent };
    const { day } = await at.bench.accept([item]);
    const held = { execution: { day, no: item.no }, intent, wish: WISH };
    const { outbox } = await at.bench.finish([at.bench.ended(held, { ...answerTo("why"), empty: true })]);
    expect(resultsIn(outbox)).toMatchObject([{ status: "failed", code: "BAD_ANSWER" }]);
    expect(costsIn(outbox)).toEqual([{ kind: "charge", billing: "charged", nanoUsd: ANSWER_NANO_USD.toString() }]);
    expect(documentsIn(outbox)[0]?.cost.nanoUsd).toBe(ANSWER_NANO_USD.toString());
  });

  describe("a record that its topic does not take", () => {
    test("becomes a dead letter with the job's own bytes, once; its neighbours wait on", async () => {
      const { outbox } = await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
      const given = await giveUp(outbox, "result");
      expect(given).toMatchObject({ letters: 1, held: 0 });
      const [letter] = recordsOf(given.outbox, "dead_letter");
      expect(letter).toMatchObject({ topic: DLQ_TOPIC, value: jobValue(WISH) });
      expect(headerOf(letter, "llm-error-code")).toBe("REPLY_UNDELIVERABLE");
      expect(headerOf(letter, "llm-error-stage")).toBe("relay");
      expect(headerOf(letter, "llm-attempt")).toBe("1");
      expect(headerOf(letter, "__dlq.errors.topic")).toBe(JOBS_TOPIC);
      expect(headerOf(letter, "__dlq.errors.offset")).toBe("0");
      const bytes = String(recordsOf(outbox, "result")[0]?.value?.length);
      expect(headerOf(letter, "__dlq.errors.message")).toBe(
        `topic ${RESULTS_TOPIC} does not take the result of ${bytes} bytes: ${REASON}`,
      );
      expect(await giveUp(outbox, "result")).toEqual({ outbox: [], letters: 0, held: 0 });
      expect(await waiting()).toEqual([`cost to ${COSTS_TOPIC}`, `dead_letter to ${DLQ_TOPIC}`]);
    });

    test("of several in a group leaves the others in it", async () => {
      const calls = [];
      for (const [index, prompt] of ["one", "two", "three"].entries()) {
        // Serial: the bench's partition has an order.
        const wish = { ...WISH, jobId: `job-${String(index)}`, prompt };
        calls.push(at.bench.ended(await at.bench.start(wish), answerTo(prompt)));
      }
      const { outbox } = await at.bench.finish(calls);
      const group = outbox.find(({ topic }) => topic === RESULTS_TOPIC);
      const refused = group?.records.slice(0, 2) ?? [];
      await at.bench.ledger.giveUpOutgoing(
        at.bench.session,
        refused.map((record) => ({ seq: group?.seq ?? -1, record, reason: REASON })),
        RENDER,
      );
      const taken = await at.bench.ledger.takeOutbox(at.bench.session, 10, -1000, []);
      expect(taken.filter(({ topic }) => topic === RESULTS_TOPIC)).toEqual([
        { ...group, records: group?.records.slice(2) },
      ]);
      expect(recordsOf(taken, "dead_letter").map(({ value }) => value?.toString())).toEqual(
        [0, 1].map((index) =>
          jobValue({ ...WISH, jobId: `job-${String(index)}`, prompt: ["one", "two"][index] ?? "" }).toString(),
        ),
      );
    });

    test("has a letter beside the one of a job that failed", async () => {
      const { outbox } = await at.bench.finish([
        at.bench.ended(await at.bench.start(WISH), failureOf("refused", "answered", 400)),
      ]);
      const given = await giveUp(outbox, "result");
      expect([...codesIn(outbox), ...codesIn(given.outbox)]).toEqual(["PROVIDER_REFUSED", "REPLY_UNDELIVERABLE"]);
    });

    test("may be a cost record, also one that no job's end carried", async () => {
      const { outbox } = await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
      expect(codesIn((await giveUp(outbox, "cost")).outbox)).toEqual(["REPLY_UNDELIVERABLE"]);
      const gone = { ...WISH, jobId: "gone", prompt: "gone" };
      const held = await at.bench.start(gone);
      const cancel = { tenant: "catalogue", jobId: "gone" };
      await at.bench.ledger.cancel(at.bench.session, [cancel], { byWhom: "ann@desk", atMs: at.bench.nowMs() }, RENDER);
      const late = await at.bench.finish([at.bench.ended(held, answerTo("gone"))]);
      const [letter] = recordsOf((await giveUp(late.outbox, "cost")).outbox, "dead_letter");
      expect(letter?.value).toEqual(jobValue(gone));
    });

    test("may be a repeat: the letter is about the job that it repeats", async () => {
      await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
      const again = await at.bench.accept([await at.bench.job(WISH, true)]);
      const [letter] = recordsOf((await giveUp(again.outbox, "repeat")).outbox, "dead_letter");
      expect(headerOf(letter, "__dlq.errors.offset")).toBe("0");
      expect(headerOf(letter, "__dlq.errors.message")).toContain("does not take the repeated result of");
    });

    describe("and is a repeat in Avro", () => {
      /** The same id at another tenant, whose letter it must not become. */
      const OTHER = { ...WISH, tenant: "shop" };

      /** The group of repeats of both tenants' jobs. */
      const repeats = async (): Promise<OutboxGroup> => {
        for (const wish of [WISH, OTHER]) {
          // Serial: the bench's partition has an order.
          const calls = [at.bench.ended(await at.bench.start(wish), answerTo("why"))];
          await at.bench.ledger.finish({ session: at.bench.session, nowMs: at.bench.nowMs(), calls }, RENDER_FRAMED);
        }
        const jobs = [await at.bench.job(WISH, true), await at.bench.job(OTHER, true)];
        const { outbox } = await at.bench.accept(jobs);
        const group = outbox.find(({ records }) => records.every(({ kind }) => kind === "repeat"));
        if (group?.records.length !== 2) throw new Error("expected a group of two repeats");
        return group;
      };
      const giveUpAll = ({ seq }: OutboxGroup, records: readonly Outgoing[]): Promise<GivenUp> => {
        const refused = records.map((record) => ({ seq, record, reason: REASON }));
        return at.bench.ledger.giveUpOutgoing(at.bench.session, refused, RENDER_FRAMED);
      };

      test("has a letter about the job of its tenant", async () => {
        const group = await repeats();
        const given = await giveUpAll(group, group.records);
        expect(given).toMatchObject({ letters: 2, held: 0 });
        expect(recordsOf(given.outbox, "dead_letter").map(({ value }) => value)).toEqual([WISH, OTHER].map(jobValue));
      });

      test("is held by itself when nothing says whose it is: its neighbour has its letter", async () => {
        const group = await repeats();
        const [nameless, named] = group.records;
        if (nameless === undefined || named === undefined) throw new Error("expected two repeats");
        const given = await giveUpAll(group, [{ ...nameless, headers: [] }, named]);
        expect(given).toMatchObject({ letters: 1, held: 1 });
        expect(recordsOf(given.outbox, "dead_letter").map(({ value }) => value)).toEqual([jobValue(OTHER)]);
      });
    });

    test("may be the result of a record that became no job", async () => {
      const value = Buffer.from(
        JSON.stringify({ ...(JSON.parse(jobValue(WISH).toString()) as object), ttlMs: "soon" }),
      );
      const { outbox } = await at.bench.accept([], { refused: [await at.bench.refused(0, value)], moves: [] });
      const [letter] = recordsOf((await giveUp(outbox, "result")).outbox, "dead_letter");
      expect(headerOf(letter, "llm-error-code")).toBe("REPLY_UNDELIVERABLE");
      expect(headerOf(letter, "__dlq.errors.offset")).toBe("0");
    });

    test("goes out without its value when it is a dead letter itself; refused even so, it is held and not lost", async () => {
      const { outbox } = await at.bench.finish([
        at.bench.ended(await at.bench.start(WISH), failureOf("refused", "answered", 400)),
      ]);
      const given = await giveUp(outbox, "dead_letter");
      expect(given).toMatchObject({ letters: 0, held: 0 });
      const [shortened] = recordsOf(given.outbox, "dead_letter");
      expect(shortened?.value).toBeNull();
      expect(headerOf(shortened, "llm-error-code")).toBe("PROVIDER_REFUSED");
      expect(headerOf(shortened, "llm-value-omitted-bytes")).toBe(String(jobValue(WISH).length));
      expect(await giveUp(given.outbox, "dead_letter")).toEqual({ outbox: [], letters: 0, held: 1 });
      expect(await waiting()).toEqual([`result to ${RESULTS_TOPIC}`]);
      expect((await at.bench.ledger.load({ readyRows: 10, outboxRows: 10 }, [])).outboxRecords).toBe(2);
    });
  });

  test("what waits for refusing topics is counted by itself, up to the limit", async () => {
    const load = (outboxRows: number, refusing: readonly string[]) =>
      at.bench.ledger.load({ readyRows: 10, outboxRows }, refusing);
    const jobs = [await at.bench.job(WISH, true), await at.bench.job({ ...WISH, jobId: "b" }, true)];
    const { day } = await at.bench.accept(jobs);
    const [item] = jobs;
    if (item === undefined || item.intent === null) throw new Error("the bench gave the job an intent");
    const held = { execution: { day, no: item.no }, intent: item.intent, wish: WISH };
    await at.bench.finish([at.bench.ended(held, answerTo("why"))]);
    // A row of two results, and one of two cost records.
    expect(await load(10, [])).toMatchObject({ outboxRecords: 4, refusedRecords: 0 });
    expect(await load(10, [RESULTS_TOPIC])).toMatchObject({ outboxRecords: 2, refusedRecords: 2 });
    expect(await load(10, [RESULTS_TOPIC, COSTS_TOPIC])).toMatchObject({ outboxRecords: 0, refusedRecords: 4 });
    expect(await load(1, [])).toMatchObject({ outboxRecords: 2, refusedRecords: 0 });
  });

  test("a topic that is left out keeps its rows", async () => {
    await at.bench.finish([at.bench.ended(await at.bench.start(WISH), answerTo("why"))]);
    expect(await waiting([RESULTS_TOPIC])).toEqual([`cost to ${COSTS_TOPIC}`]);
    expect(await waiting([COSTS_TOPIC, DLQ_TOPIC])).toEqual([`result to ${RESULTS_TOPIC}`]);
  });
}
