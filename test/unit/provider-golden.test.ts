import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { RateLimitReading } from "../../src/adapters/providers/rate-limit-reading.js";
import { kindFacts, openProvider, PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parsePriceTable } from "../../src/domain/cost/price-table.js";
import { defaultPolicy } from "../../src/domain/job/default-policy.js";
import type { RequestFormat } from "../../src/domain/job/job.js";
import { planRoutes } from "../../src/domain/route/plan-routes.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";

/**
 * Real answers and errors of every kind of provider, read by its adapter from a socket. A new kind brings its rows in files: here is
 * nothing to be changed for it.
 */

const FOLDER = "test/golden/providers";
const golden = (name: string) => readFileSync(`${FOLDER}/${name}`, "utf8");
const parsed = (text: string) => JSON.parse(text) as unknown;

interface AnswerCase {
  readonly what: string;
  readonly format: RequestFormat;
  readonly model: string;
  readonly body: unknown;
  /** What the adapter must send, and where below the base URL. */
  readonly path: string;
  readonly sent: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /** File with the answer's body. */
  readonly answer: string;
  readonly read: Readonly<Record<string, unknown>>;
  readonly rateLimits: readonly RateLimitReading[];
}

/** A body in the kind's own format, and the routing reason against it. */
interface RouteCase {
  readonly what: string;
  readonly format: RequestFormat;
  readonly model: string;
  readonly body: unknown;
  /** Null: it may be asked. */
  readonly because: string | null;
}

interface KindCases {
  readonly answers: readonly AnswerCase[];
  readonly routes: readonly RouteCase[];
}

interface ErrorCase {
  readonly kind: string;
  readonly status: number;
  readonly body: unknown;
  readonly outcome: string;
  readonly code: string | null;
}

let server: Server;
let baseUrl = "";
let reply = { status: 200, headers: {} as Readonly<Record<string, string>>, text: "" };
const received: { path: string; text: string }[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ path: request.url ?? "", text: Buffer.concat(chunks).toString("utf8") });
      response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers }).end(reply.text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});

afterAll(() => new Promise((resolve) => server.close(resolve)));

async function call(kind: string, format: RequestFormat, model: string, bodyText: string) {
  const rateLimits: RateLimitReading[] = [];
  const provider = await openProvider(kind, {
    account: kind,
    baseUrl,
    apiKey: () => "k",
    connectionsMax: 1,
    connectTimeoutMs: 5000,
    idleTimeoutMs: 5000,
    responseBytesMax: 1_000_000,
    nowMs: () => 0,
    onRateLimits: (readings) => rateLimits.push(...readings),
  });
  received.length = 0;
  const limits = { maxOutputTokensDefault: 77, timeoutMs: 5000, sendWithinMs: 5000, maySend: () => true };
  const outcome = await provider.call(
    { attemptId: "a1", format, model, bodyText, ...limits },
    new AbortController().signal,
  );
  await provider.close();
  return { outcome, rateLimits };
}

const prices = parsePriceTable(readFileSync("schemas/pricing.json", "utf8"));

function reasonAgainst(kind: string, one: RouteCase): string | null {
  const text = JSON.stringify(one.body);
  const account = {
    name: kind,
    facts: kindFacts(kind),
    regions: null,
    prices: kindFacts(kind).selfHosted ? ({ zero: true } as const) : null,
    maxOutputTokensDefault: 77,
    capabilities: null,
  };
  const facts = readRequestFacts(one.format, text, Buffer.byteLength(text), null);
  const plan = planRoutes(defaultPolicy(`${kind}/${one.model}`), facts, { accounts: [account], aliases: [], prices });
  return plan.failure === null ? null : (plan.rejected[0]?.because ?? plan.failure.message);
}

const errors = JSON.parse(golden("errors.json")) as readonly ErrorCase[];

describe.each(PROVIDER_KINDS.map(({ kind }) => kind))("%s", (kind) => {
  const cases = JSON.parse(golden(`calls/${kind}.json`)) as KindCases;

  test("has answers, errors and prices to be read", () => {
    expect(cases.answers.length).toBeGreaterThan(0);
    expect(errors.filter((one) => one.kind === kind).length).toBeGreaterThan(4);
  });

  test.each(cases.answers.map((one) => [one.what, one] as const))(
    "asks for %s and reads the answer",
    async (_what, one) => {
      reply = { status: 200, headers: one.headers, text: golden(one.answer) };
      const { outcome, rateLimits } = await call(kind, one.format, one.model, JSON.stringify(one.body));
      expect(received.map(({ path, text }) => ({ path, sent: parsed(text) }))).toEqual([
        { path: one.path, sent: one.sent },
      ]);
      expect(outcome).toEqual({ kind: "answered", bodyText: golden(one.answer), ...one.read });
      expect(rateLimits).toEqual(one.rateLimits);
    },
  );

  test("knows each of its errors", async () => {
    const told: unknown[] = [];
    const format = kindFacts(kind).formats[0] ?? "openai.chat";
    for (const { status, body, outcome, code } of errors.filter((one) => one.kind === kind)) {
      const text = body === null ? "" : typeof body === "string" ? body : JSON.stringify(body);
      reply = { status, headers: {}, text };
      // One after the other: there is one server, which answers what was set last.
      const { outcome: got } = await call(kind, format, "m", "{}");
      const isRight = got.kind === "failed" && got.outcome === outcome && got.provider.code === code;
      if (!isRight) told.push({ status, text, outcome, code, got });
    }
    expect(told).toEqual([]);
  });

  test.each(cases.routes.map((one) => [one.what, one] as const))(
    "is asked for %s, or has a reason not to be",
    (_what, one) => {
      expect(reasonAgainst(kind, one)).toBe(one.because);
    },
  );
});

test("every row of errors belongs to a kind that there is", () => {
  const kinds = new Set(PROVIDER_KINDS.map(({ kind }) => kind));
  expect(errors.filter(({ kind }) => !kinds.has(kind))).toEqual([]);
});
