import { NO_USAGE } from "../../../src/domain/cost/usage.js";
import type { BatchProvider, LineAnswer, ResultItem } from "../../../src/ports/batch-provider.js";
import { refusal } from "./batch-service.js";
import type { PlantedBugs } from "./planted-bugs.js";
import type { PlantedBug } from "./simulation.js";

/** Ways to be wrong about batches, put in from here; the product has no switch for them. */
export const PLANTED_BATCHES: PlantedBugs = {
  "a create is sent again when its answer does not come": {
    bug: changed((real) => ({
      create: async (batch, limits, signal) => {
        const reply = await real.create(batch, limits, signal);
        return reply.kind === "unclear" ? real.create(batch, limits, signal) : reply;
      },
    })),
    caughtBy: "no_line_submitted_twice",
  },
  "a create is made again, and its file was not deleted": {
    bug: changed(withoutFence(new Set())),
    caughtBy: "no_line_submitted_twice",
  },
  "nobody waits for a create that nothing fences": {
    bug: { createGraceMs: 0 },
    caughtBy: "no_line_submitted_twice",
  },
  "a create in doubt is taken for refused, and its lines go elsewhere": {
    bug: changed((real) => ({
      create: async (batch, limits, signal) => {
        const reply = await real.create(batch, limits, signal);
        return reply.kind === "unclear" ? { kind: "refused", refusal: refusal("queue_full") } : reply;
      },
    })),
    caughtBy: "no_line_submitted_twice",
  },
  "a status that is not known is taken for failed": {
    bug: changed((real) => ({
      get: async (batchId, limits, signal) => {
        const reply = await real.get(batchId, limits, signal);
        if (reply.kind !== "batch" || reply.batch.unknownWord === null) return reply;
        return { kind: "batch", batch: { ...reply.batch, state: "failed", refusal: refusal("queue_full") } };
      },
    })),
    caughtBy: "no_line_submitted_twice",
  },
  "results are matched by their place": {
    bug: changed((real) => ({ results: (request, limits, signal) => byPlace(real.results(request, limits, signal)) })),
    caughtBy: "right_answer",
  },
  "a line whose time ran out counts as answered": {
    bug: changed((real) => ({
      results: (request, limits, signal) => expiredAnswered(real.results(request, limits, signal)),
    })),
    caughtBy: "right_answer",
  },
  "what a line cost is added at each read": {
    bug: { rules: { firstOutcomeStands: false } },
    caughtBy: "ledger_equals_bill",
  },
  "lines that no result tells of are forgotten": {
    bug: { rules: { showsOpenLines: false } },
    caughtBy: "every_line_ends",
  },
  "a line that a batch took stays in its pool": {
    bug: { rules: { bindsOnce: false } },
    caughtBy: "one_live_attempt",
  },
  "a create leaves before its intent is stored": {
    bug: { rules: { keepsIntents: false } },
    caughtBy: "creates_only_with_intent",
  },
  "a batch of its size is taken, whoever's it is": {
    bug: { rules: { knowsBatches: false } },
    caughtBy: "adopts_its_own",
  },
  "a line whose rescue failed is rescued again": {
    bug: { rules: { rescuedOnce: false } },
    caughtBy: "rescued_once",
  },
  "the second of two answers counts as a cost like the first": {
    bug: { rules: { secondAnswer: "charged" } },
    caughtBy: "second_answer_is_waste",
  },
  "what a provider keeps is not deleted": {
    bug: changed(() => ({ erase: () => Promise.resolve({ kind: "erased" }) })),
    caughtBy: "files_are_deleted",
  },
};

/** The file of a create in doubt is left when it should be deleted, the first time. */
function withoutFence(doubtful: Set<string>): (real: BatchProvider) => Partial<BatchProvider> {
  return (real) => ({
    create: async (batch, limits, signal) => {
      if (batch.input.way === "file") doubtful.add(batch.input.fileId);
      const reply = await real.create(batch, limits, signal);
      if (batch.input.way === "file" && reply.kind !== "unclear") doubtful.delete(batch.input.fileId);
      return reply;
    },
    deleteFile: (fileId, limits, signal) =>
      doubtful.delete(fileId) ? Promise.resolve({ kind: "deleted" }) : real.deleteFile(fileId, limits, signal),
  });
}

/** The provider of each router with some of its methods changed. */
function changed(change: (real: BatchProvider) => Partial<BatchProvider>): PlantedBug {
  return {
    batchProvider: (real) => {
      const methods = change(real);
      return new Proxy(real, {
        get: (target, name) => {
          const own: unknown = methods[name as keyof BatchProvider] ?? Reflect.get(target, name); // any other name is in neither
          return typeof own === "function" ? (own as (...args: unknown[]) => unknown).bind(target) : own; // whatever it takes
        },
      });
    },
  };
}

async function* byPlace(items: AsyncIterable<ResultItem>): AsyncIterable<ResultItem> {
  const all: ResultItem[] = [];
  for await (const item of items) all.push(item);
  const ids = all.flatMap((item) => (item.kind === "line" ? [item.customId] : [])).sort();
  for (const item of all) yield item.kind === "line" ? { ...item, customId: ids.shift() ?? "" } : item;
}

async function* expiredAnswered(items: AsyncIterable<ResultItem>): AsyncIterable<ResultItem> {
  for await (const item of items)
    yield item.kind === "line" && item.outcome.kind === "failed" && item.outcome.outcome === "line_expired"
      ? { ...item, outcome: NO_ANSWER }
      : item;
}

const NO_ANSWER: LineAnswer = {
  kind: "answered",
  format: "openai.chat",
  bodyText: "{}",
  finishReason: "stop",
  modelVersion: null,
  usage: { ...NO_USAGE, inputTokens: 1, outputTokens: 1 },
  usageSuspect: false,
  requestId: null,
  empty: false,
};
