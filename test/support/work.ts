import { CallGate } from "../../src/pipeline/dispatch/call-gate.js";
import { RouteChooser } from "../../src/pipeline/dispatch/route-chooser.js";
import type { Slots } from "../../src/pipeline/dispatch/slots.js";
import { kindFacts } from "../../src/adapters/providers/registry.js";
import type { RoutePolicy } from "../../src/domain/job/job.js";
import { readRequestFacts } from "../../src/domain/route/request-facts.js";
import type { JudgeSettings } from "../../src/pipeline/dispatch/call-judge.js";
import type { Work } from "../../src/pipeline/dispatch/work.js";
import type { Metrics } from "../../src/ports/metrics.js";
import type { Log } from "../../src/ports/system.js";
import { PLAN_ROUTES } from "./simulation/fixture.js";

export const POLICY: RoutePolicy = {
  model: "sim",
  chain: "standard",
  providers: null,
  capabilities: [],
  selfHostedOnly: false,
  regions: null,
  expect: { jsonSchema: false, notEmpty: true, complete: false },
  onDoubt: null,
};

const BODY = '{"model":"sim","messages":[{"role":"user","content":"why"}]}';

/** Work on the simulated catalog's first route; its execution and intent have this number. */
export function workOf(no: number, nowMs: number, more: Partial<Work> = {}): Work {
  const { routes } = PLAN_ROUTES(POLICY, readRequestFacts("openai.chat", BODY, BODY.length, null));
  const route = routes[0]!;
  return {
    execution: { day: 20_000, no },
    intent: {
      no,
      number: 1,
      account: route.account,
      provider: route.kind,
      model: route.model,
      routeIndex: 0,
      maxNanoUsd: 2_000_000n,
      startedAtMs: nowMs,
    },
    format: "openai.chat",
    policy: POLICY,
    bodyText: BODY,
    route,
    routes,
    firstPrice: route.price,
    history: [],
    latestDeadlineMs: nowMs + 3_600_000,
    ...more,
  };
}

/** What a judge asks, where a test is about something else: the price of the route, OpenAI's bill, and every answer keeps to its schema. */
export const JUDGED_BY: Pick<JudgeSettings, "answeredBy" | "billing" | "checkSchema"> = {
  answeredBy: ({ route }) => ({ price: route.price, otherModel: false }),
  billing: () => kindFacts("openai").billing,
  checkSchema: () => ({ kind: "fits" }),
};

/** A log whose lines a test reads: `level event`. */
export function logInto(lines: string[]): Log {
  const at =
    (level: string) =>
    (event: string): void => {
      lines.push(`${level} ${event}`);
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Counters that a test reads, by name and labels. */
export function metricsInto(counted: Map<string, number>): Metrics {
  return {
    count: (name, labels, by = 1) => {
      const key = [name, ...Object.values(labels)].join(" ");
      counted.set(key, (counted.get(key) ?? 0) + by);
    },
    set: () => undefined,
    observe: () => undefined,
  };
}

/** Of calls whose provider's health nobody asks about. */
export const NO_HEALTH = {
  waitUntilMs: () => null,
  taken: () => undefined,
  ended: () => undefined,
  notSent: () => undefined,
} as const;

/** Calls that need nothing but a free place, by routes in their written order. */
export function placesOf(slots: Slots) {
  return { slots, gate: new CallGate(slots), chooser: new RouteChooser() };
}
