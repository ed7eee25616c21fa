/** The loops around alerts: what a router counts, who looks, and how a webhook is told. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { openWebhook, signatureOf } from "../../src/adapters/webhook/signed-webhook.js";
import { afterFailedTry } from "../../src/domain/alert/notice.js";
import { bucketOf, EMPTY_TALLY, sumOf } from "../../src/domain/alert/tally.js";
import type { AttemptOutcome } from "../../src/domain/failure.js";
import { NO_USAGE } from "../../src/domain/cost/usage.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { CallKind } from "../../src/domain/limit/limits.js";
import { AlertStage, type AlertStageParts } from "../../src/pipeline/alert/alert-stage.js";
import { NoticeStage } from "../../src/pipeline/alert/notice-stage.js";
import { TallyRecorder } from "../../src/pipeline/alert/tally-recorder.js";
import type { Notice } from "../../src/ports/alert-ledger.js";
import type { FinishedCall, FinishOutcome } from "../../src/ports/ledger.js";
import type { Metrics } from "../../src/ports/metrics.js";
import type { WebhookAnswer } from "../../src/ports/webhook.js";
import { RENDER } from "../support/simulation/fixture.js";
import { counted, SETTINGS, START_MS } from "./alert-fixture.js";
import { turnaroundBook } from "../../src/domain/batch/turnaround.js";

const LIMITS = { triesMax: 5, giveUpAfterMs: 60_000, backoffBaseMs: 1000, backoffMaxMs: 5000 } as const;
const SECRET = "a-secret-of-16-characters";

/** Every line and number that was told. */
class Told {
  readonly lines: string[] = [];
  readonly counts: string[] = [];
  readonly gauges = new Map<string, number>();
  readonly log = {
    debug: () => undefined,
    info: (event: string) => this.lines.push(event),
    warn: (event: string) => this.lines.push(event),
    error: (event: string) => this.lines.push(event),
  };
  readonly metrics: Metrics = {
    count: (name, labels) => {
      this.counts.push([name, ...Object.values(labels)].join(" "));
    },
    set: (name, labels, value) => {
      this.gauges.set([name, ...Object.values(labels)].join(" "), value);
    },
    observe: () => undefined,
  };
}

function call(
  outcome: AttemptOutcome,
  changes: { readonly account?: string; readonly batchNo?: number; readonly nanoUsd?: bigint | null } = {},
) {
  const { account = "a", batchNo, nanoUsd = 5n } = changes;
  return {
    attempt: { account, model: "m", startedAtMs: START_MS, ...(batchNo === undefined ? {} : { batchNo }) },
    outcome,
    endedAtMs: START_MS + 400,
    nanoUsd,
    usage: { ...NO_USAGE, inputTokens: 12 },
  } as FinishedCall; // the members that are counted
}

const ended = (...afterMs: readonly number[]): FinishOutcome => ({
  ended: afterMs.map((ms) => ({ status: "succeeded", code: null, acceptedAtMs: START_MS - ms, endedAtMs: START_MS })),
  outbox: [],
  waste: 0,
});

describe("what a router counts", () => {
  test("are calls by account, those that failed by no fault of the job, durations and money", () => {
    const recorder = new TallyRecorder();
    recorder.finished(
      "calls",
      [call("succeeded"), call("refused"), call("timed_out", { nanoUsd: null }), call("succeeded", { account: "b" })],
      ended(600),
      START_MS,
    );
    expect(recorder.take()).toEqual({
      accounts: {
        a: { calls: 3, failed: 1, ms: { [bucketOf(400)]: 2 }, used: { m: { requests: 3, tokens: 36 } } },
        b: { calls: 1, failed: 0, ms: { [bucketOf(400)]: 1 }, used: { m: { requests: 1, tokens: 12 } } },
      },
      ended: 0,
      deadLetters: 0,
      jobMs: { [bucketOf(600)]: 1 },
      nanoUsd: "15",
    });
    expect(recorder.take()).toBeNull();
  });

  test("are calls by endpoint and tier where limits go by them", () => {
    const recorder = new TallyRecorder();
    const as = (countsAs: CallKind): FinishedCall => ({ ...call("succeeded"), countsAs });
    const calls = [
      as({ endpoint: "chat", tier: "free" }),
      as({ endpoint: "embeddings", tier: "free" }),
      call("succeeded"),
    ];
    recorder.finished("calls", calls, ended(), START_MS);
    const counts = recorder.take();
    const used = { m: { requests: 3, tokens: 36 } };
    const usedByKind = {
      ...{ chat: { requests: 1, tokens: 12 }, embeddings: { requests: 1, tokens: 12 } },
      free: { requests: 2, tokens: 24 },
    };
    expect(counts?.accounts).toEqual({ a: { calls: 3, failed: 0, ms: { [bucketOf(400)]: 3 }, used, usedByKind } });
    if (counts === null) throw new Error("expected counts");
    expect(sumOf([counts, EMPTY_TALLY, counts]).accounts["a"]?.usedByKind?.free).toEqual({ requests: 4, tokens: 48 });
  });

  test("are no durations of lines, nor of jobs that waited for them", () => {
    const recorder = new TallyRecorder();
    recorder.finished(
      "lines",
      [call("succeeded", { batchNo: 7 }), call("line_expired", { batchNo: 7 })],
      ended(9_000_000),
      START_MS,
    );
    expect(recorder.take()).toEqual(
      counted({ accounts: { a: { calls: 2, failed: 1, ms: {}, used: {} } }, nanoUsd: "10" }),
    );
  });

  test("are no jobs that were over as they came in, which metrics hear of: they would hide that nothing else ends", () => {
    const [recorder, told] = [new TallyRecorder(), new Told()];
    recorder.listening(told.metrics).count("sluice_jobs_ended_total", { status: "succeeded" }, 3);
    recorder.endedAtIntake(3);
    expect([recorder.take(), told.counts]).toEqual([null, ["sluice_jobs_ended_total succeeded"]]);
  });

  test("are ends and dead letters as metrics are told of them, which hear all the same", () => {
    const [recorder, told] = [new TallyRecorder(), new Told()];
    const metrics = recorder.listening(told.metrics);
    metrics.count("sluice_jobs_ended_total", { status: "failed" }, 3);
    metrics.count("sluice_dead_letters_total", { code: "BAD_JSON" });
    metrics.count("sluice_rescues_total", { account: "a" });
    metrics.set("sluice_outbox_rows", {}, 4);
    expect(recorder.take()).toEqual(counted({ ended: 3, deadLetters: 1 }));
    expect(told.counts).toEqual([
      "sluice_jobs_ended_total failed",
      "sluice_dead_letters_total BAD_JSON",
      "sluice_rescues_total a",
    ]);
    expect(told.gauges.get("sluice_outbox_rows")).toBe(4);
  });
});

describe("a look's round", () => {
  const parts = (
    told: Told,
    ledger: AlertStageParts["ledger"],
    changes: Partial<AlertStageParts> = {},
  ): AlertStageParts => ({
    ledger,
    session: sessionNo(7),
    render: RENDER,
    clock: { sleep: () => Promise.resolve() },
    log: told.log,
    metrics: told.metrics,
    recorder: new TallyRecorder(),
    terms: () => ({
      settings: { ...SETTINGS, raiseAfterMs: 0 },
      accounts: ["a"],
      limits: new Map(),
      turnaround: turnaroundBook([], { priorMs: 1, windowMs: 1, perModelMax: 1 }, START_MS),
      callPriorMs: 1000,
    }),
    notify: true,
    publish: () => undefined,
    told: () => told.lines.push("told"),
    ...changes,
  });

  test("shows, logs and tells what was raised", async () => {
    const told = new Told();
    const ledger: AlertStageParts["ledger"] = {
      addTally: () => Promise.resolve(),
      alerts: () => Promise.resolve([]),
      look: (request, judge) => {
        const readings = {
          runnable: null,
          nearestDeadlinesMs: null,
          doubts: 99,
          batches: null,
          budgets: null,
          spend: null,
          breakers: null,
        };
        const { changes } = judge({ nowMs: START_MS, memory: null, counted: counted({}), alerts: [], readings });
        expect(request).toMatchObject({ session: 7, everyMs: 13_500, notify: true });
        return Promise.resolve({ nowMs: START_MS, alerts: [], changes, outbox: [] });
      },
    };
    await new AlertStage(parts(told, ledger)).round();
    expect(told.lines).toEqual(["alert.raised", "told"]);
    expect([told.gauges.get("sluice_alerts in_doubt"), told.gauges.get("sluice_alerts budget")]).toEqual([1, 0]);
  });

  test("keeps what it counted until the ledger has it", async () => {
    const [told, recorder] = [new Told(), new TallyRecorder()];
    const tallies: unknown[] = [];
    let away = true;
    const ledger: AlertStageParts["ledger"] = {
      addTally: (_session, tally) => {
        if (away) return Promise.reject(new Error("away"));
        tallies.push(tally);
        return Promise.resolve();
      },
      alerts: () => Promise.resolve([]),
      look: () => Promise.resolve(null),
    };
    const stage = new AlertStage(parts(told, ledger, { recorder }));
    recorder.finished("calls", [call("succeeded")], ended(), START_MS);
    await stage.round();
    recorder.finished("calls", [call("succeeded")], ended(), START_MS);
    away = false;
    await stage.round();
    await stage.round();
    expect(told.lines).toEqual(["alerts.look_failed"]);
    expect(tallies).toMatchObject([{ accounts: { a: { calls: 2 } }, nanoUsd: "10" }]);
  });
});

describe("a notice", () => {
  const notice = (no: number, tries = 1, ageMs = 0): Notice => ({
    no,
    eventId: `e-${String(no)}`,
    body: "{}",
    tries,
    ageMs,
  });
  const stageOf = (due: Notice[], answers: WebhookAnswer[], told: Told, done: string[]) =>
    new NoticeStage({
      ledger: {
        takeNotices: () => Promise.resolve(due.splice(0, 1)),
        endNotice: (no) => {
          done.push(`ended ${String(no)}`);
          return Promise.resolve();
        },
        retryNotice: ({ no }, afterMs, reason) => {
          done.push(`retry ${String(no)} in ${String(afterMs)}: ${reason}`);
          return Promise.resolve();
        },
      },
      webhook: { send: () => Promise.resolve(answers.shift() ?? { kind: "delivered" }) },
      limits: LIMITS,
      timeoutMs: 1000,
      everyMs: 1000,
      clock: { sleep: () => Promise.resolve() },
      random: { next: () => 0.5 },
      log: told.log,
      metrics: told.metrics,
    });
  const over = new AbortController().signal;

  test("is delivered in its order until none is due", async () => {
    const [told, done]: [Told, string[]] = [new Told(), []];
    await stageOf([notice(1), notice(2)], [], told, done).round(over);
    expect(done).toEqual(["ended 1", "ended 2"]);
    expect(told.counts).toEqual(["sluice_alert_notices_total delivered", "sluice_alert_notices_total delivered"]);
  });

  test("that fails is tried again later, and holds up the others for this round only", async () => {
    const [told, done]: [Told, string[]] = [new Told(), []];
    await stageOf([notice(1, 2), notice(2)], [{ kind: "failed", reason: "status 503" }], told, done).round(over);
    expect([done, told.lines]).toEqual([["retry 1 in 1500: status 503"], ["webhook.failed"]]);
  });

  test("that has failed too often, or is too old, is given up, counted and logged", async () => {
    const [told, done]: [Told, string[]] = [new Told(), []];
    const failed: WebhookAnswer = { kind: "failed", reason: "status 500" };
    await stageOf([notice(1, 5)], [failed], told, done).round(over);
    await stageOf([notice(2, 1, 60_000)], [failed], told, done).round(over);
    expect(done).toEqual(["ended 1", "ended 2"]);
    expect(told.counts).toEqual(["sluice_alert_notices_total given_up", "sluice_alert_notices_total given_up"]);
    expect(told.lines).toEqual(["webhook.given_up", "webhook.given_up"]);
  });

  test("waits twice as long each time, up to a bound, between half and all of it", () => {
    const waits = [1, 2, 3, 4].map((tries) => afterFailedTry({ tries, ageMs: 0 }, LIMITS, 0.999_999));
    expect(waits).toEqual([1000, 2000, 4000, 5000].map((afterMs) => ({ kind: "retry", afterMs })));
    expect(afterFailedTry({ tries: 1, ageMs: 0 }, LIMITS, 0)).toEqual({ kind: "retry", afterMs: 500 });
  });
});

describe("the webhook", () => {
  let server: Server | null = null;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
  });
  const listen = async (
    answer: (request: IncomingMessage) => number | null,
  ): Promise<{ readonly url: string; readonly got: { headers: IncomingMessage["headers"]; body: string }[] }> => {
    const got: { headers: IncomingMessage["headers"]; body: string }[] = [];
    const opened = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        got.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
        const status = answer(request);
        if (status !== null) response.writeHead(status, { location: "http://127.0.0.1:1/" }).end("thanks");
      });
    });
    server = opened;
    await new Promise<void>((resolve) => opened.listen(0, "127.0.0.1", resolve));
    return { url: `http://127.0.0.1:${String((opened.address() as AddressInfo).port)}/hook`, got };
  };
  const webhook = (url: string) => openWebhook({ url, secret: SECRET, timeoutMs: 300, nowMs: () => 1_764_547_200_999 });

  test("signs as OpenSSL does", () => {
    // printf '1764547200.{"a":1}' | openssl dgst -sha256 -hmac a-secret-of-16-characters
    expect(signatureOf(SECRET, "1764547200", '{"a":1}')).toBe(
      "v1=c335a78c881acf51c8d91f20fc2e9c7efd74b175b34c2016b28a9ffb9865d406",
    );
  });

  test("says who sent what and when", async () => {
    const { url, got } = await listen(() => 204);
    const opened = webhook(url);
    expect(await opened.send({ eventId: "e-1", body: '{"a":1}' })).toEqual({ kind: "delivered" });
    expect(got).toMatchObject([
      {
        body: '{"a":1}',
        headers: {
          "content-type": "application/json",
          "sluice-event-id": "e-1",
          "sluice-timestamp": "1764547200",
          "sluice-signature": "v1=c335a78c881acf51c8d91f20fc2e9c7efd74b175b34c2016b28a9ffb9865d406",
        },
      },
    ]);
    await opened.close();
  });

  test.each([500, 404, 302])("takes status %s for a failure, and follows nothing", async (status) => {
    const { url, got } = await listen(() => status);
    const opened = webhook(url);
    expect(await opened.send({ eventId: "e-1", body: "{}" })).toEqual({
      kind: "failed",
      reason: `status ${String(status)}`,
    });
    expect(got).toHaveLength(1);
    await opened.close();
  });

  test("gives up on one that does not answer, and on one that is not there", async () => {
    const { url } = await listen(() => null);
    const opened = webhook(url);
    expect(await opened.send({ eventId: "e-1", body: "{}" })).toMatchObject({ kind: "failed" });
    await opened.close();
    const nobody = webhook("http://127.0.0.1:1/");
    expect(await nobody.send({ eventId: "e-1", body: "{}" })).toEqual({ kind: "failed", reason: "ECONNREFUSED" });
    await nobody.close();
  });
});
