/** What each fault does to a call: one function a fault, from the honest answer to what is billed and sent. */
import type { DirectAnswer } from "./direct-operation.js";
import type { CallFault, CallFaultKind, RetryAfterForm } from "./fault-rules.js";
import type { RateState } from "./limits.js";
import type { OperationAnswer } from "./operation.js";
import type { PricedModel } from "./price-table.js";
import type { ProviderApi } from "./provider-api.js";
import type { Refusal } from "./refusal.js";

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

/** An answer's body: text, or the bytes of a file. */
export type OutcomeBody = string | { readonly path: string; readonly bytes: number };

/** What becomes of a call: whether and as what it is billed, and what is sent once that is written down. */
export type Outcome = {
  readonly billed: DirectAnswer | null;
  readonly status: number;
  /** Names and values, one after the other. */
  readonly headers: readonly string[];
  readonly body: OutcomeBody;
  readonly delivery: Delivery;
};

/** A call that a fault struck. */
export type Struck = {
  readonly provider: ProviderApi;
  readonly requestId: string;
  /** Does the work; called by those faults that let it be done, once. */
  readonly work: () => Worked | Promise<Worked>;
  /** A model of the provider for the same use: the one asked for, else any but the current. null = there is none. */
  readonly otherModel: (current: PricedModel, asked: string | null) => PricedModel | null;
};

/** Work that is done: the honest outcome, and the answer behind it where there is one to change. */
export type Worked = { readonly outcome: Outcome; readonly answer: DirectAnswer | null };

const JSON_TYPE = ["content-type", "application/json"] as const;
const WHOLE: Delivery = { kind: "whole" };
const CUT: Delivery = { kind: "cut" };
const HOLD: Delivery = { kind: "hold" };
const HTML_PAGE =
  "<!doctype html><html><head><title>Please wait</title></head><body><h1>We are checking your connection</h1></body></html>";
const ABSURD_MS = 864_000_000;
const WAIT_MS = 1000;

/** The honest outcome of a direct call. */
export function answered(answer: DirectAnswer, headers: readonly string[]): Outcome {
  return { billed: answer, status: 200, headers: [...JSON_TYPE, ...headers], body: answer.bodyText(), delivery: WHOLE };
}

export function refused(
  provider: ProviderApi,
  refusal: Refusal,
  requestId: string,
  headers: readonly string[] = [],
): Outcome {
  return {
    billed: null,
    status: refusal.status,
    headers: [...JSON_TYPE, ...headers, ...(refusal.headers ?? [])],
    body: JSON.stringify(provider.errorBody(refusal, requestId)),
    delivery: WHOLE,
  };
}

/** The honest outcome of an operation. */
export function operated(provider: ProviderApi, answer: OperationAnswer, requestId: string): Outcome {
  if ("refusal" in answer) return refused(provider, answer.refusal, requestId);
  const done = { billed: null, status: answer.status, delivery: WHOLE };
  if ("json" in answer)
    return { ...done, headers: [...JSON_TYPE, ...(answer.headers ?? [])], body: JSON.stringify(answer.json) };
  return { ...done, headers: ["content-type", answer.contentType], body: { path: answer.path, bytes: answer.bytes } };
}

function silent(delivery: Delivery, billed: DirectAnswer | null = null): Outcome {
  return { billed, status: 0, headers: [], body: "", delivery };
}

/** The headers by which a 429 says when to come again. */
export function retryAfterHeaders(form: RetryAfterForm, waitMs: number): readonly string[] {
  switch (form) {
    case "seconds":
      return ["retry-after", String(Math.ceil(waitMs / 1000))];
    case "date":
      // HTTP dates have whole seconds: rounded up, so that waiting for it is waiting long enough.
      return ["retry-after", new Date(Math.ceil((Date.now() + waitMs) / 1000) * 1000).toUTCString()];
    case "ms":
      return ["retry-after-ms", String(waitMs)];
    case "absurd":
      return ["retry-after", String(ABSURD_MS / 1000)];
    case "missing":
      return [];
  }
}

/** A bucket that is empty, for a 429 that nobody's limit made. */
function emptyBucket(waitMs: number): RateState {
  const nothing = { remainingRequests: 0, resetRequestsMs: waitMs, remainingTokens: 0, resetTokensMs: waitMs };
  return { ...nothing, limitRequests: 60, limitTokens: 100_000, exceeded: "requests", retryAfterMs: waitMs };
}

type FaultFunctions = {
  readonly [K in CallFaultKind]: (fault: Extract<CallFault, { kind: K }>, call: Struck) => Outcome | Promise<Outcome>;
};

async function afterWork(call: Struck, change: (outcome: Outcome) => Outcome): Promise<Outcome> {
  return change((await call.work()).outcome);
}

/** Works, then changes the answer; what has no answer to change stays as it is. */
async function changed(call: Struck, change: (answer: DirectAnswer) => DirectAnswer): Promise<Outcome> {
  const { outcome, answer } = await call.work();
  if (answer === null) return outcome;
  const other = change(answer);
  return { ...outcome, billed: other, body: other.bodyText() };
}

const FAULTS: FaultFunctions = {
  status: (fault, { provider, requestId }) => {
    const refusal = provider.refusalFor(fault.status, "The simulator was told to fail this call.");
    const body = fault.body ?? provider.errorBody(refusal, requestId);
    const stated = fault.headers ?? {};
    const type = Object.keys(stated).some((name) => name.toLowerCase() === "content-type") ? [] : JSON_TYPE;
    return {
      billed: null,
      status: fault.status,
      headers: [...type, ...Object.entries(stated).flat()],
      body: typeof body === "string" ? body : JSON.stringify(body),
      delivery: WHOLE,
    };
  },
  rate_limited: (fault, { provider, requestId }) => {
    const waitMs = fault.waitMs ?? WAIT_MS;
    return refused(provider, provider.rateRefusal(emptyBucket(waitMs), fault.retryAfter ?? "seconds"), requestId);
  },
  quota_gone: (_fault, { provider, requestId }) => refused(provider, provider.quotaGone, requestId),
  drop_before: () => silent(CUT),
  drop_after_billed: (_fault, call) => afterWork(call, ({ billed }) => silent(CUT, billed)),
  truncate: (_fault, call) => afterWork(call, (outcome) => ({ ...outcome, delivery: { kind: "half" } })),
  trickle: (fault, call) =>
    afterWork(call, (outcome) => ({ ...outcome, delivery: { kind: "trickle", bytesPerS: fault.bytesPerS } })),
  hang: (fault, call) => (fault.billed === true ? afterWork(call, ({ billed }) => silent(HOLD, billed)) : silent(HOLD)),
  html_200: () => ({
    billed: null,
    status: 200,
    headers: ["content-type", "text/html; charset=utf-8"],
    body: HTML_PAGE,
    delivery: WHOLE,
  }),
  redirect: (fault) => ({
    billed: null,
    status: 307,
    headers: ["location", fault.location ?? "http://elsewhere.invalid/v1/chat/completions"],
    body: "",
    delivery: WHOLE,
  }),
  wrong_usage: async (fault, call) => {
    const { outcome, answer } = await call.work();
    return answer === null ? outcome : { ...outcome, body: answer.lyingBodyText(fault.how ?? "missing") };
  },
  wrong_model: (fault, call) =>
    changed(call, (answer) => {
      const model = call.otherModel(answer.model, fault.model ?? null);
      return model === null ? answer : answer.answeredBy(model);
    }),
  empty_answer: (_fault, call) => changed(call, (answer) => answer.emptied()),
  refusal: (_fault, call) => changed(call, (answer) => answer.declined()),
};

/** The outcome of a call struck by `fault`. */
export function struckBy(fault: CallFault, call: Struck): Outcome | Promise<Outcome> {
  // TypeScript can't tie the looked-up function to the fault's kind; the mapped type above does.
  const apply = FAULTS[fault.kind] as (fault: CallFault, call: Struck) => Outcome | Promise<Outcome>;
  return apply(fault, call);
}
