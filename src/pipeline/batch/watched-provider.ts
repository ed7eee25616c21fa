import type { AttemptOutcome } from "../../domain/failure.js";
import type { OutcomeFacts } from "../../domain/health/blame.js";
import type { BatchRefusalReason } from "../../domain/batch/provider-batch.js";
import type { BatchCallFailure, BatchProvider, CreateReply, ResultItem } from "../../ports/batch-provider.js";
import type { Clock } from "../../ports/system.js";
import type { RouteHealth } from "../dispatch/route-health.js";

/** What the steps of a batch ask and tell of the provider's health. */
export type BatchHealth = Pick<RouteHealth, "batchWaitUntilMs" | "stepBegins" | "stepEnded">;

export interface WatchParts {
  readonly health: Pick<BatchHealth, "stepEnded">;
  readonly clock: Pick<Clock, "nowMs">;
}

const SERVED: OutcomeFacts = { outcome: "succeeded", sent: "answered", httpStatus: 200 };
const UNSENT: OutcomeFacts = { outcome: "cancelled", sent: "no", httpStatus: null };

/**
 * The same batches; what each step comes to is told to the account's breakers. An upload or a creation is a turn of its own, which may be the
 * trial of a breaker; all others only look at what is there.
 */
export function watchedProvider(provider: BatchProvider, { health, clock }: WatchParts): BatchProvider {
  const { account } = provider;
  const told = (facts: OutcomeFacts, startedAtMs: number, isTurn: boolean): void => {
    health.stepEnded(account, startedAtMs, facts, isTurn);
  };
  async function step<Reply extends { readonly kind: string }>(
    made: Promise<Reply>,
    { isTurn, signal }: { readonly isTurn: boolean; readonly signal: AbortSignal },
    factsOf: (reply: Reply) => OutcomeFacts = factsOfReply,
  ): Promise<Reply> {
    const startedAtMs = clock.nowMs();
    let facts = UNSENT;
    try {
      const reply = await made;
      // What we cut off ourselves says nothing of the provider.
      if (!signal.aborted) facts = factsOf(reply);
      return reply;
    } finally {
      told(facts, startedAtMs, isTurn);
    }
  }
  async function* watched(
    items: AsyncIterable<ResultItem>,
    signal: AbortSignal,
  ): AsyncGenerator<ResultItem, void, undefined> {
    const startedAtMs = clock.nowMs();
    for await (const item of items) {
      if (item.kind === "broken" && !signal.aborted) told(factsOfFailure(item.failure), startedAtMs, false);
      if (item.kind === "end") told(SERVED, startedAtMs, false);
      yield item;
    }
  }
  return {
    account,
    rules: provider.rules,
    encodeLine: (line, way) => provider.encodeLine(line, way),
    answerIn: (job, answer) => provider.answerIn(job, answer),
    upload: (upload, limits, signal) => step(provider.upload(upload, limits, signal), { isTurn: true, signal }),
    create: (create, limits, signal) =>
      step(provider.create(create, limits, signal), { isTurn: true, signal }, factsOfCreate),
    findFiles: (file, limits, signal) => step(provider.findFiles(file, limits, signal), { isTurn: false, signal }),
    deleteFile: (id, limits, signal) => step(provider.deleteFile(id, limits, signal), { isTurn: false, signal }),
    list: (request, limits, signal) => step(provider.list(request, limits, signal), { isTurn: false, signal }),
    get: (id, limits, signal) => step(provider.get(id, limits, signal), { isTurn: false, signal }),
    cancel: (id, limits, signal) => step(provider.cancel(id, limits, signal), { isTurn: false, signal }),
    erase: (batch, limits, signal) => step(provider.erase(batch, limits, signal), { isTurn: false, signal }),
    results: (request, limits, signal) => watched(provider.results(request, limits, signal), signal),
    close: () => provider.close(),
  };
}

function factsOfReply(reply: { readonly kind: string } | BatchCallFailure): OutcomeFacts {
  return "outcome" in reply ? factsOfFailure(reply) : SERVED;
}

function factsOfFailure({ outcome, sent, provider }: BatchCallFailure): OutcomeFacts {
  return { outcome, sent, httpStatus: provider.status };
}

function factsOfCreate(reply: CreateReply): OutcomeFacts {
  switch (reply.kind) {
    case "created":
      return SERVED;
    case "refused": {
      const { because, provider } = reply.refusal;
      // A model that can't be batched is refused by the same word as a key.
      const isKey = because !== "auth_failed" || provider.status === 401 || provider.status === 403;
      return { outcome: isKey ? REFUSED_AS[because] : "refused", sent: "answered", httpStatus: provider.status };
    }
    case "unclear":
      return factsOfFailure(reply.failure);
    case "not_sent":
      return reply.because === "stopped" ? UNSENT : { outcome: "connection_failed", sent: "no", httpStatus: null };
  }
}

/** Most refusals are about the batch: the provider is there. */
const REFUSED_AS = {
  bad_line: "refused",
  queue_full: "rate_limited",
  too_many_batches: "rate_limited",
  too_large: "refused",
  file_gone: "refused",
  file_not_ready: "refused",
  rate_limited: "rate_limited",
  auth_failed: "auth_failed",
  quota_exhausted: "quota_exhausted",
  not_accepted: "refused",
  unclassified: "unclassified",
} as const satisfies Record<BatchRefusalReason, AttemptOutcome>;
