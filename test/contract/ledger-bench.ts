import type {
  Ledger,
  IntakeGroup,
  IntakeOutcome,
  FinishedCall,
  OutboxGroup,
  ClaimVerdict,
  ClaimOutcome,
} from "../../src/ports/ledger.js";
import type { AttemptIntent, WaitingExecution } from "../../src/domain/execution/execution.js";
import type { SessionNo } from "../../src/domain/ids.js";
import type { IntakeJob, Outgoing } from "../../src/domain/result/outgoing.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import { keptHeaders, renderRefused } from "../../src/domain/result/render-refused.js";
import {
  createSimulatedAdmission,
  digestOf,
  jobValue,
  JOBS_TOPIC,
  PLAN_ROUTES,
  recordAt,
  RENDER,
  RENDER_SETTINGS,
  type JobWish,
} from "../support/simulation/fixture.js";
import { JUDGED_BY } from "../support/work.js";
import { judgeCall } from "../../src/pipeline/dispatch/call-judge.js";
import type { ProviderAnswer, ProviderFailure } from "../../src/ports/provider.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";

/** A ledger under test, empty at first. */
export interface OpenLedger {
  readonly ledger: Ledger;
  readonly nowMs: () => number;
  readonly close: () => Promise<void>;
}

/** An execution that was started: what a router has in hand. */
export interface Held {
  readonly execution: { readonly day: number; readonly no: number };
  readonly intent: AttemptIntent;
  readonly wish: JobWish;
}

interface AcceptedGroup extends Pick<
  Extract<IntakeOutcome, { kind: "accepted" }>,
  "outbox" | "day" | "ended" | "acceptedAtMs"
> {
  readonly kinds: readonly string[];
}

const admission = createSimulatedAdmission();
/** As much as the bench's intents may cost. */
const RISK_NANO_USD = 2_000_000n;
export const ANSWER_NANO_USD = 10n * 1000n + 5n * 4000n;

/** Writes groups into a ledger as a router would, one partition, one record after another. */
export class LedgerBench {
  readonly ledger: Ledger;
  readonly nowMs: () => number;
  readonly partition: number;
  session: SessionNo;
  next = 0;
  /** As often as an operator has adopted the partition. */
  adoptions = 0;
  #from = 0;
  #left = 0;

  private constructor(open: OpenLedger, session: SessionNo, partition: number) {
    this.ledger = open.ledger;
    this.nowMs = open.nowMs;
    this.session = session;
    this.partition = partition;
  }

  static async start(open: OpenLedger, partition = 0): Promise<LedgerBench> {
    await open.ledger.prepareDays();
    const bench = new LedgerBench(open, await open.ledger.openSession("bench"), partition);
    await open.ledger.openPosition(JOBS_TOPIC, partition, 0);
    return bench;
  }

  async number(): Promise<number> {
    if (this.#left === 0) {
      const block = await this.ledger.takeNumbers();
      this.#from = block.from;
      this.#left = block.count;
    }
    this.#left -= 1;
    this.#from += 1;
    return this.#from - 1;
  }

  /** A job as intake admits it. @param starts with an intent of its own. */
  async job(wish: JobWish, starts: boolean, offset = this.next): Promise<IntakeJob> {
    this.next = Math.max(this.next, offset + 1);
    const nowMs = this.nowMs();
    const record = recordAt(this.partition, offset, nowMs, jobValue(wish));
    const admitted = admission.admit(record, nowMs);
    if (admitted.kind !== "job") throw new Error(`the bench wrote a bad job: ${JSON.stringify(admitted)}`);
    const { job } = admitted;
    return {
      no: await this.number(),
      job: wish.ttlMs === 0 ? { ...job, deadlineMs: nowMs - 1 } : job,
      record: { value: record.value, headersText: keptHeaders(record.headers) },
      intent: starts ? await this.intent(1) : null,
      riskNanoUsd: wish.onDoubt === "fail" ? null : RISK_NANO_USD,
    };
  }

  async intent(number: number): Promise<AttemptIntent> {
    return {
      no: await this.number(),
      number,
      account: "alpha",
      provider: "openai",
      model: "sim-alpha",
      routeIndex: 0,
      maxNanoUsd: 2_000_000n,
      startedAtMs: this.nowMs(),
    };
  }

  async group(jobs: readonly IntakeJob[], changes: Partial<IntakeGroup> = {}): Promise<IntakeGroup> {
    const offsets = jobs.map(({ job }) => job.record.offset);
    const since = offsets.length === 0 ? this.next : Math.min(...offsets);
    const upto = offsets.length === 0 ? this.next : Math.max(...offsets) + 1;
    const { partition, adoptions } = this;
    const move = { topic: JOBS_TOPIC, partition, since, upto, witness: Buffer.from("12345678"), adoptions };
    return {
      session: this.session,
      groupNo: await this.number(),
      moves: [move],
      jobs,
      refused: [],
      cancels: [],
      ...changes,
    };
  }

  async accept(jobs: readonly IntakeJob[], changes: Partial<IntakeGroup> = {}): Promise<AcceptedGroup> {
    const outcome = await this.ledger.accept(await this.group(jobs, changes), RENDER);
    if (outcome.kind !== "accepted") throw new Error(`expected an accepted group, got ${outcome.kind}`);
    const { jobs: fates, outbox, day, ended, acceptedAtMs } = outcome;
    return { kinds: fates.map(({ kind }) => kind), outbox, day, ended, acceptedAtMs };
  }

  /** Accepts one job that starts at once. */
  async start(wish: JobWish): Promise<Held> {
    const item = await this.job(wish, true);
    const { kinds, day } = await this.accept([item]);
    if (kinds[0] !== "started" || item.intent === null) throw new Error(`expected a started job, got ${kinds.join()}`);
    return { execution: { day, no: item.no }, intent: item.intent, wish };
  }

  /** A call that ended now. @param leftMs time that its router saw left for its jobs then. */
  ended(held: Held, outcome: ProviderAnswer | ProviderFailure, leftMs = 3_600_000): FinishedCall {
    const bodyText = JSON.stringify({ model: "sim", messages: [{ role: "user", content: held.wish.prompt }] });
    const { routes } = PLAN_ROUTES(
      {
        model: "sim",
        chain: "default",
        providers: null,
        capabilities: [],
        selfHostedOnly: false,
        regions: null,
        expect: { jsonSchema: false, notEmpty: true, complete: false },
        onDoubt: null,
      },
      readRequestFacts("openai.chat", bodyText, bodyText.length, null),
    );
    const route = routes[0]!;
    const nowMs = this.nowMs();
    return judgeCall(
      {
        retry: { attemptsMax: 5, backoffBaseMs: 1, backoffMaxMs: 1, retryAfterMaxMs: 1000 },
        graceMs: () => 0,
        resultBytesMax: 1_000_000,
        ...JUDGED_BY,
      },
      {
        execution: held.execution,
        intent: held.intent,
        format: "openai.chat",
        policy: {
          model: "sim",
          chain: "default",
          providers: null,
          capabilities: [],
          selfHostedOnly: false,
          regions: null,
          expect: { jsonSchema: false, notEmpty: true, complete: false },
          onDoubt: null,
        },
        bodyText,
        route,
        routes,
        firstPrice: route.price,
        history: [],
        latestDeadlineMs: nowMs + leftMs,
      },
      outcome,
      nowMs,
      0,
    );
  }

  finish(calls: readonly FinishedCall[], session = this.session) {
    return this.ledger.finish({ session, nowMs: this.nowMs(), calls }, RENDER);
  }

  claim(
    decide: (waiting: WaitingExecution) => ClaimVerdict,
    pick: "run" | "expire" = "run",
    aheadMs = 60_000,
  ): Promise<ClaimOutcome> {
    return this.ledger.claim({ session: this.session, nowMs: this.nowMs() + aheadMs, pick, limit: 10 }, decide, RENDER);
  }

  async refused(offset: number, value = Buffer.from("{no json")) {
    this.next = Math.max(this.next, offset + 1);
    const record = recordAt(this.partition, offset, this.nowMs(), value);
    const planned = admission.admit(record, this.nowMs());
    if (planned.kind !== "refused") throw new Error("the bench wrote a good job");
    return renderRefused(RENDER_SETTINGS, {
      no: await this.number(),
      day: Math.floor(this.nowMs() / 86_400_000),
      record,
      headersText: "[]",
      refusal: planned.refusal,
      nowMs: this.nowMs(),
    });
  }
}

export function answerTo(prompt: string): ProviderAnswer {
  return {
    kind: "answered",
    bodyText: JSON.stringify({ digest: digestOf(prompt) }),
    finishReason: "stop",
    modelVersion: null,
    usage: { ...NO_USAGE, inputTokens: 10, outputTokens: 5 },
    usageSuspect: false,
    requestId: "request",
    empty: false,
  };
}

export function failureOf(
  outcome: ProviderFailure["outcome"],
  sent: ProviderFailure["sent"],
  status: number | null,
): ProviderFailure {
  return {
    kind: "failed",
    outcome,
    sent,
    message: outcome,
    retryAfterMs: null,
    provider: { status, code: null, requestId: null },
  };
}

export function recordsOf(outbox: readonly OutboxGroup[], kind: Outgoing["kind"]): Outgoing[] {
  return outbox.flatMap(({ records }) => records.filter((record) => record.kind === kind));
}

interface ReadResult {
  readonly jobId: string;
  readonly status: string;
  readonly served: string;
  readonly digest: string | null;
  readonly code: string | null;
}

/** Results in a few words, in the order of their ids. */
export function resultsIn(outbox: readonly OutboxGroup[]): ReadResult[] {
  const read = recordsOf(outbox, "result").map((record): ReadResult => {
    const document = JSON.parse(record.value?.toString("utf8") ?? "") as {
      jobId: string;
      status: string;
      served: string;
      body: { digest: string } | null;
      error: { code: string } | null;
    }; // our own
    return {
      jobId: document.jobId,
      status: document.status,
      served: document.served,
      digest: document.body?.digest ?? null,
      code: document.error?.code ?? null,
    };
  });
  return read.sort((a, b) => (a.jobId < b.jobId ? -1 : 1));
}

interface ReadCost {
  readonly kind: string;
  readonly billing: string;
  readonly nanoUsd: string | null;
}

export function costsIn(outbox: readonly OutboxGroup[]): ReadCost[] {
  return recordsOf(outbox, "cost").map((record) => {
    const { kind, billing, nanoUsd } = JSON.parse(record.value?.toString("utf8") ?? "") as ReadCost; // our own
    return { kind, billing, nanoUsd };
  });
}

interface ReadEvent {
  readonly kind: string;
  readonly severity: string;
  readonly tenant: string | null;
  readonly jobId: string | null;
  readonly generation: number | null;
  readonly account: string | null;
}

export function eventsIn(outbox: readonly OutboxGroup[]): ReadEvent[] {
  return recordsOf(outbox, "event").map((record) => {
    const document = JSON.parse(record.value?.toString("utf8") ?? "") as ReadEvent; // our own
    const { kind, severity, tenant, jobId, generation, account } = document;
    return { kind, severity, tenant, jobId, generation, account };
  });
}

/** Of dead letters. */
export function stagesIn(outbox: readonly OutboxGroup[]): string[] {
  return recordsOf(outbox, "dead_letter").map((record) =>
    String(record.headers.find(([name]) => name === "llm-error-stage")?.[1]),
  );
}

export function codesIn(outbox: readonly OutboxGroup[]): string[] {
  return recordsOf(outbox, "dead_letter").map((record) =>
    String(record.headers.find(([name]) => name === "llm-error-code")?.[1]),
  );
}
