/** What each fault does to a call: one function a fault, from the honest answer to what is billed and sent. */
import type { ChatAnswer } from "./chat-call.js";
import type { DirectApi } from "./direct-api.js";
import type { Fault, FaultKind } from "./fault-rules.js";
import { parsedObject } from "./field-checks.js";
import type { PriceTable } from "./price-table.js";

/** How the bytes of an answer leave. */
export type Delivery =
  | { readonly kind: "whole" }
  /** Half of the body under a content-length that promises all of it, then the connection is cut. */
  | { readonly kind: "half" }
  | { readonly kind: "trickle"; readonly bytesPerS: number }
  /** Nothing, and the connection is cut. */
  | { readonly kind: "cut" }
  /** Nothing, and the connection stays. */
  | { readonly kind: "hold" };

/** What becomes of a call: whether and as what it is billed, and what is sent once that is written down. */
export type Outcome = {
  readonly billed: ChatAnswer | null;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly delivery: Delivery;
};

export type FaultContext = { readonly api: DirectApi; readonly answer: ChatAnswer; readonly prices: PriceTable };

const JSON_HEADERS = { "content-type": "application/json" } as const;
const WHOLE: Delivery = { kind: "whole" };
const HTML_PAGE =
  "<!doctype html><html><head><title>Please wait</title></head><body><h1>We are checking your connection</h1></body></html>";

/** The honest outcome. */
export function answered(api: DirectApi, answer: ChatAnswer, delivery: Delivery = WHOLE): Outcome {
  return { billed: answer, status: 200, headers: JSON_HEADERS, body: api.answerJson(answer), delivery };
}

function unanswered(delivery: Delivery, billed: ChatAnswer | null): Outcome {
  return { billed, status: 0, headers: {}, body: "", delivery };
}

/** A model of the provider other than the one that answers. */
function otherModel(context: FaultContext): string {
  const cheap =
    context.api.provider === "openai" ? ["gpt-4.1-nano", "gpt-4.1-mini"] : ["claude-haiku-4-5", "claude-sonnet-4-5"];
  return cheap.find((name) => name !== context.answer.model.name) ?? context.answer.model.name;
}

type FaultFunctions = {
  readonly [K in FaultKind]: (fault: Extract<Fault, { kind: K }>, context: FaultContext) => Outcome;
};

const FAULTS: FaultFunctions = {
  status: (fault, { api, answer }) => {
    const refusal = api.refusalFor(fault.status, "The simulator was told to fail this call.");
    const body = fault.body ?? api.errorBody(refusal, answer.requestId);
    return {
      billed: null,
      status: fault.status,
      headers: { ...JSON_HEADERS, ...fault.headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
      delivery: WHOLE,
    };
  },
  drop_before: () => unanswered({ kind: "cut" }, null),
  drop_after_billed: (_fault, { answer }) => unanswered({ kind: "cut" }, answer),
  truncate: (_fault, { api, answer }) => answered(api, answer, { kind: "half" }),
  trickle: (fault, { api, answer }) => answered(api, answer, { kind: "trickle", bytesPerS: fault.bytesPerS }),
  hang: (fault, { answer }) => unanswered({ kind: "hold" }, fault.billed === true ? answer : null),
  html_200: () => ({
    billed: null,
    status: 200,
    headers: { "content-type": "text/html; charset=utf-8" },
    body: HTML_PAGE,
    delivery: WHOLE,
  }),
  redirect: (fault) => ({
    billed: null,
    status: 307,
    headers: { location: fault.location ?? "http://elsewhere.invalid/v1/chat/completions" },
    body: "",
    delivery: WHOLE,
  }),
  wrong_usage: (fault, { api, answer }) => {
    const usage = api.lyingUsage(answer, fault.how ?? "missing");
    return { ...answered(api, answer), body: JSON.stringify({ ...parsedObject(api.answerJson(answer)), usage }) };
  },
  wrong_model: (fault, context) => {
    const model = context.prices.find(context.api.provider, fault.model ?? otherModel(context));
    return answered(context.api, model === null ? context.answer : { ...context.answer, model });
  },
  empty_answer: (_fault, { api, answer }) =>
    answered(api, { ...answer, text: "", usage: { ...answer.usage, outputTokens: 1 }, reasoningTokens: 0 }),
  refusal: (_fault, { api, answer }) =>
    answered(api, { ...answer, text: `declined ${answer.text}`, finish: "refusal", stopSequence: null }),
};

/** The outcome of a call struck by `fault`. */
export function struck(fault: Fault, context: FaultContext): Outcome {
  // TypeScript can't tie the looked-up function to the fault's kind; the mapped type above does.
  const apply = FAULTS[fault.kind] as (fault: Fault, context: FaultContext) => Outcome;
  return apply(fault, context);
}
