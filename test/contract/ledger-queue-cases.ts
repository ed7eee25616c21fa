import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { AdmittedJob, Tier } from "../../src/domain/job/job.js";
import type { ClaimRequest, ClaimOutcome } from "../../src/ports/ledger.js";
import { RENDER, type JobWish } from "../support/simulation/fixture.js";
import { answerTo, failureOf, LedgerBench, type OpenLedger } from "./ledger-bench.js";

/** The order of the queue: tenants in turn, and rows that wait for a limit by its name. Weight of `shop`: 3. */
export function queueLedgerSuite(
  name: string,
  open: (weights: ReadonlyMap<string, number>) => Promise<OpenLedger>,
): void {
  describe(name, () => {
    let opened: OpenLedger;
    let bench: LedgerBench;

    async function begin(weights: ReadonlyMap<string, number>): Promise<void> {
      opened = await open(weights);
      bench = await LedgerBench.start(opened);
    }

    beforeEach(() => begin(new Map()));
    afterEach(() => opened.close());

    const LIMIT = "alpha/sim-alpha";

    async function queue(
      tenant: string,
      count: number,
      more: Partial<JobWish> = {},
      waits?: { readonly limit: string; readonly runAtMs: number },
    ): Promise<void> {
      const jobs = [];
      for (let number = 0; number < count; number += 1) {
        const jobId = `${tenant}-${more.prompt ?? "any"}-${String(number)}`;
        const job = await bench.job({ prompt: jobId, ...more, jobId, tenant, dedupe: false }, false);
        jobs.push(waits === undefined ? job : { ...job, waits: { ...waits, waitsFor: "rate_limit" as const } });
      }
      await bench.accept(jobs);
    }

    /** Takes rows for good. @returns their tenants, in no order. */
    async function take(wish: Pick<ClaimRequest, "limit" | "limits">): Promise<ClaimOutcome & { tenants: string[] }> {
      const tenants: string[] = [];
      const request = { session: bench.session, nowMs: bench.nowMs(), pick: "run" as const, ...wish };
      const decide = ({ tenant }: { readonly tenant: string }) => {
        tenants.push(tenant);
        return {
          kind: "fail",
          failure: { code: "NO_ROUTE", message: "taken", provider: null, retryAtMs: null },
        } as const;
      };
      const outcome = await bench.ledger.claim(request, decide, RENDER);
      return { ...outcome, tenants: tenants.sort() };
    }

    test("a flood of one tenant never keeps another waiting, whoever came first", async () => {
      await queue("catalogue", 30);
      expect((await take({ limit: 5 })).tenants).toEqual(Array(5).fill("catalogue"));
      await queue("shop", 1);
      const both = [...(await take({ limit: 4 })).tenants, ...(await take({ limit: 4 })).tenants];
      expect(both).toContain("shop");
      expect(both.filter((tenant) => tenant === "catalogue").length).toBeGreaterThanOrEqual(5);
    });

    test("tenants have as many turns as their weights say", async () => {
      await opened.close();
      await begin(new Map([["shop", 3]]));
      await queue("catalogue", 20);
      await queue("shop", 20);
      expect((await take({ limit: 8 })).tenants).toEqual([
        ...Array<string>(2).fill("catalogue"),
        ...Array<string>(6).fill("shop"),
      ]);
      const one = [];
      for (let turn = 0; turn < 8; turn += 1) one.push(...(await take({ limit: 1 })).tenants); // serial: turn by turn
      expect(one.filter((tenant) => tenant === "shop")).toHaveLength(6);
    });

    test("what one tenant has no rows for goes to the others with the next claim, and all is taken in the end", async () => {
      await queue("catalogue", 9);
      await queue("shop", 1);
      let taken = 0;
      for (let more = true, claims = 0; more && claims < 9; claims += 1) {
        const outcome = await take({ limit: 4 }); // serial: what is left is told by the last
        taken += outcome.taken;
        more = outcome.more === true;
      }
      expect(taken).toBe(10);
    });

    test("of a tenant the highest priority comes first, and of that the nearest deadline", async () => {
      const order: string[] = [];
      await queue("shop", 1, { priority: 5, ttlMs: 500_000, prompt: "third" });
      await queue("shop", 1, { priority: 9, ttlMs: 900_000, prompt: "second" });
      await queue("shop", 1, { priority: 5, ttlMs: 600_000, prompt: "last" });
      await queue("shop", 1, { priority: 9, ttlMs: 800_000, prompt: "first" });
      for (let turn = 0; turn < 4; turn += 1) {
        const request = { session: bench.session, nowMs: bench.nowMs(), pick: "run" as const, limit: 1 };
        await bench.ledger.claim(
          request,
          ({ bodyText }) => {
            order.push(/first|second|third|last/.exec(bodyText)?.[0] ?? bodyText);
            return { kind: "wait", runAtMs: bench.nowMs() + 600_000, waitsFor: "backoff" };
          },
          RENDER,
        );
      }
      expect(order).toEqual(["first", "second", "third", "last"]);
    });

    test("rows that are not due keep nothing from the others", async () => {
      await queue("shop", 3, { priority: 9 });
      const nowMs = bench.nowMs();
      const request = { session: bench.session, nowMs, pick: "run" as const, limit: 3 };
      await bench.ledger.claim(
        request,
        () => ({ kind: "wait", runAtMs: nowMs + 600_000, waitsFor: "backoff" }),
        RENDER,
      );
      await queue("shop", 1, { prompt: "due" });
      expect((await take({ limit: 2 })).taken).toBe(1);
      expect(await take({ limit: 2 })).toMatchObject({ taken: 0 });
    });

    test("a row that waits for a limit is taken by its name only, as many as asked for, before its time too", async () => {
      await queue("shop", 3, {}, { limit: LIMIT, runAtMs: bench.nowMs() + 600_000 });
      expect((await take({ limit: 10 })).taken).toBe(0);
      expect((await take({ limit: 10, limits: new Map([["other", 5]]) })).taken).toBe(0);
      const limits = new Map([[LIMIT, 2]]);
      const first = await take({ limit: 0, limits });
      expect([first.taken, first.limited?.get(LIMIT)]).toEqual([2, { rows: 2, more: true }]);
      const second = await take({ limit: 0, limits });
      expect([second.taken, second.limited?.get(LIMIT)]).toEqual([1, { rows: 1, more: false }]);
    });

    test("a row waits by the whole name of its limits, of which others may be the beginning", async () => {
      const names = ["alpha", "alpha free", "alpha embeddings free", LIMIT, `${LIMIT} free`];
      for (const [place, limit] of names.entries())
        await queue("shop", place + 1, { prompt: String(place) }, { limit, runAtMs: bench.nowMs() }); // serial: one group each
      const queues = await bench.ledger.limitQueues(100);
      expect(new Map(queues.map(({ limit, rows }) => [limit, rows]))).toEqual(
        new Map(names.map((limit, place) => [limit, place + 1])),
      );
      const outcome = await take({ limit: 5, limits: new Map([["alpha free", 9]]) });
      expect([outcome.taken, outcome.limited?.get("alpha free")]).toEqual([2, { rows: 2, more: false }]);
      expect((await take({ limit: 0, limits: new Map(names.map((limit) => [limit, 9])) })).taken).toBe(13);
    });

    test("a claimed row can be told to wait for a limit, and tenants have their turns there too", async () => {
      await queue("catalogue", 6);
      await queue("shop", 2);
      const nowMs = bench.nowMs();
      for (let turn = 0; turn < 3; turn += 1)
        await bench.ledger.claim(
          { session: bench.session, nowMs, pick: "run", limit: 10 },
          () => ({ kind: "wait", runAtMs: nowMs, waitsFor: "rate_limit", limit: LIMIT }),
          RENDER,
        ); // serial: the first may find one tenant only
      expect(await bench.ledger.limitQueues(100)).toEqual([{ limit: LIMIT, rows: 8 }]);
      expect(await bench.ledger.limitQueues(5)).toEqual([{ limit: LIMIT, rows: 5 }]);
      expect((await take({ limit: 10 })).taken).toBe(0);
      const { tenants } = await take({ limit: 0, limits: new Map([[LIMIT, 4]]) });
      expect(tenants).toEqual(["catalogue", "catalogue", "shop", "shop"]);
    });

    test("a row whose claim is refused is set aside by the name of its limit", async () => {
      await queue("shop", 1, {}, { limit: LIMIT, runAtMs: bench.nowMs() });
      const limits = new Map([[LIMIT, 1]]);
      const nowMs = bench.nowMs();
      expect(await bench.ledger.setAside({ pick: "run", nowMs }, nowMs + 60_000)).toBeNull();
      expect(await bench.ledger.setAside({ pick: "run", nowMs, limits }, nowMs + 60_000)).not.toBeNull();
      expect((await take({ limit: 5, limits })).taken).toBe(0);
    });

    test("the calls of a day are counted by account, model and hour, with what they counted", async () => {
      const started = async (prompt: string, hoursAgo: number) => {
        const wish = { jobId: prompt, tenant: "shop", prompt };
        const job = await bench.job(wish, true);
        if (job.intent === null) throw new Error("expected an intent");
        const intent = { ...job.intent, startedAtMs: job.intent.startedAtMs - hoursAgo * 3_600_000 - 1000 };
        const { day } = await bench.accept([{ ...job, intent }]);
        return { execution: { day, no: job.no }, intent, wish };
      };
      const { account, model } = (await started("in the air", 0)).intent;
      const answered = await started("answered", 0);
      const refused = await started("refused", 0);
      const early = await started("early", 5);
      await started("yesterday", 25);
      await bench.finish([
        bench.ended(answered, answerTo("answered")),
        bench.ended(refused, failureOf("refused", "answered", 400)),
        bench.ended(early, answerTo("early")),
      ]);
      const uses = await bench.ledger.dayUse([account, "nobody"], false);
      expect([...uses].sort((one, other) => one.hoursAgo - other.hoursAgo)).toEqual([
        { account, model, hoursAgo: 0, calls: 3, tokens: 15, unknown: 1 },
        { account, model, hoursAgo: 5, calls: 1, tokens: 15, unknown: 0 },
      ]);
      expect(await bench.ledger.dayUse(["nobody"], false)).toEqual([]);
    });

    test("the calls of a day are told apart by endpoint and tier where that is asked", async () => {
      const started = async (prompt: string, kind: Partial<AdmittedJob>, tier?: Tier): Promise<void> => {
        const job = await bench.job({ jobId: prompt, tenant: "shop", prompt }, true);
        const policy = tier === undefined ? job.job.policy : { ...job.job.policy, tier };
        await bench.accept([{ ...job, job: { ...job.job, ...kind, policy } }]);
      };
      await started("a", {});
      await started("b", { format: "anthropic.messages" }, "free");
      await started("c", { format: "gemini.embed" }, "premium");
      await started("d", { format: "openai.embeddings" }, "premium");
      const { account, model } = await bench.intent(1);
      const sums = new Map<string, number>();
      for (const { endpoint, tier, calls, ...use } of await bench.ledger.dayUse([account], true)) {
        expect(use).toEqual({ account, model, hoursAgo: 0, tokens: 0, unknown: calls });
        const kind = `${String(endpoint)} ${String(tier)}`;
        sums.set(kind, (sums.get(kind) ?? 0) + calls);
      }
      expect(Object.fromEntries(sums)).toEqual({ "chat standard": 1, "chat free": 1, "embeddings premium": 2 });
      expect(await bench.ledger.dayUse([account], false)).toEqual([
        { account, model, hoursAgo: 0, calls: 4, tokens: 0, unknown: 4 },
      ]);
    });

    test("sessions that live are counted", async () => {
      const counts = async () => {
        const { liveRouters } = await bench.ledger.load({ readyRows: 1, outboxRows: 1 }, []);
        return [await bench.ledger.liveRouters(), liveRouters];
      };
      const other = await bench.ledger.openSession("other");
      expect(await counts()).toEqual([2, 2]);
      await bench.ledger.endSession(other);
      expect(await counts()).toEqual([1, 1]);
    });
  });
}
