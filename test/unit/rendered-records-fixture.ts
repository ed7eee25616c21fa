/** Jobs in every way that they end, rendered by the gateway's own renderer. */
import type { AnswerFacts, AttemptIntent, AttemptSummary } from "../../src/domain/execution/execution.js";
import { renderEnvelope } from "../../src/domain/result/envelope.js";
import type { EndingJob, JobEnd, Outgoing } from "../../src/domain/result/outgoing.js";
import { createRenderer } from "../../src/domain/result/render.js";
import { renderRefused } from "../../src/domain/result/render-refused.js";
import type { RenderSettings, ValueEncoders } from "../../src/domain/result/rendering.js";
import type { AdmittedJob } from "../../src/domain/job/job.js";

export const RESULTS_TOPIC = "llm.results.v1";
export const OWN_TOPIC = "etl.answers";
export const COSTS_TOPIC = "llm.costs.v1";
/** 2026-12-01T12:00:00.000Z */
export const ACCEPTED_MS = 1_796_126_400_000;
const DAY = 20_788;

/** Numbers that no parser of doubles would write again as they are, and a text that looks like the place it goes to. */
export const ANSWER_TEXT =
  '{"id":"chatcmpl-1","temperature":1.10,"seed":12345678901234567890,"note":"\\"body\\":null € 😀"}';
export const ORIGINAL_VALUE = Buffer.from('{"jobId":"order-17"}');

const ATTEMPT: AttemptSummary = {
  number: 2,
  no: 4012,
  provider: "openai",
  account: "openai-main",
  model: "gpt-4.1-mini",
  mode: "direct",
  outcome: "succeeded",
  providerRequestId: "req_2",
  startedAtMs: ACCEPTED_MS + 900,
  ms: 812.5,
  maxNanoUsd: "500000",
};
const EARLIER: AttemptSummary = {
  ...ATTEMPT,
  number: 1,
  no: 4011,
  outcome: "rate_limited",
  providerRequestId: null,
  startedAtMs: ACCEPTED_MS + 20,
  ms: 4,
};
const FACTS: AnswerFacts = {
  finishReason: "stop",
  provider: "openai",
  account: "openai-main",
  model: "gpt-4.1-mini",
  modelVersion: "gpt-4.1-mini-2025-04-14",
  usage: {
    inputTokens: 812,
    cachedInputTokens: 512,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: null,
    outputTokens: 96,
    reasoningTokens: null,
  },
  nanoUsd: "123450",
  maxNanoUsd: "500000",
  listNanoUsd: "246900",
  priceVersion: "prices-1",
  attempt: ATTEMPT,
  cacheable: true,
};
const LINE: AttemptSummary = {
  ...ATTEMPT,
  mode: "batch",
  batch: { no: 17, providerBatchId: "batch_67f" },
};
const BATCH_FACTS: AnswerFacts = {
  ...FACTS,
  nanoUsd: "61725",
  attempt: LINE,
  decision: {
    mode: "batch",
    account: "openai-main",
    model: "gpt-4.1-mini",
    because: "a batch is half the price and ends in time",
    numbers: {
      leftMs: 86_398_500,
      turnaroundP95Ms: 43_200_000,
      fillMs: 60_000,
      directMaxNanoUsd: "500000",
      batchMaxNanoUsd: "250000",
      tokens: 812,
      headroomTokens: null,
    },
  },
};
const SCORE = { score: 0.7, cost: 1, latency: 0.5, reliability: 0.5, expectedNanoUsd: "9000" };
const SCORED_FACTS: AnswerFacts = {
  ...FACTS,
  decision: {
    mode: "direct",
    account: "openai-main",
    model: "gpt-4.1-mini",
    because: "the best score of 1, 0.7",
    numbers: {
      ...{ leftMs: 86_398_500, turnaroundP95Ms: null, fillMs: null, directMaxNanoUsd: null, batchMaxNanoUsd: null },
      ...{ tokens: null, headroomTokens: null },
    },
    routes: {
      because: "the best score of 1, 0.7",
      scored: [{ account: "openai-main", model: "gpt-4.1-mini", ...SCORE }],
      rejected: [{ account: "claude-main", model: "claude-haiku-4-5", because: "its circuit is open" }],
    },
  },
};
const INTENT: AttemptIntent = { ...ATTEMPT, routeIndex: 0, maxNanoUsd: 500_000n };

const envelopeTo = (topic: string, labels: Readonly<Record<string, string>>, explain = false): string =>
  renderEnvelope({
    explain,
    reply: { topic, partition: null, key: Buffer.from("k").toString("base64"), headers: [["trace", "AQI="]] },
    format: "openai.chat",
    labels,
    tier: "standard",
    submittedAtMs: ACCEPTED_MS - 1500,
    deadlineMs: ACCEPTED_MS + 86_400_000,
    executionKey: Buffer.alloc(32, 7),
    policy: { model: "cheap" },
    record: { topic: "llm.jobs.v1", partition: 3, offset: 77 },
  } as unknown as AdmittedJob); // what an envelope is made of; the rest of a job is not looked at

const LABELS = { department: "risk", application: "kyc", team: "blue" };

const JOB: EndingJob = {
  key: { no: 9001, day: DAY },
  tenant: "acme",
  jobId: "order-17",
  generation: 0,
  execution: { no: 4000, day: DAY },
  status: "succeeded",
  acceptedAtMs: ACCEPTED_MS,
  envelope: envelopeTo(RESULTS_TOPIC, LABELS),
  record: null,
};
const END: JobEnd = {
  answer: { bodyText: ANSWER_TEXT, facts: FACTS },
  failure: null,
  served: "call",
  payer: JOB.key,
  history: [EARLIER],
  stage: "dispatch",
  endedAtMs: ACCEPTED_MS + 2000,
};
const FAILED_JOB: EndingJob = {
  ...JOB,
  status: "failed",
  record: { value: ORIGINAL_VALUE, headersText: '[["a","AQI="]]' },
};

interface EndCase {
  readonly name: string;
  readonly job: EndingJob;
  readonly end: JobEnd;
}

const END_CASES: readonly EndCase[] = [
  { name: "succeeded", job: JOB, end: END },
  {
    name: "succeeded, without labels, to a topic of the tenant's own",
    job: { ...JOB, envelope: envelopeTo(OWN_TOPIC, {}) },
    end: END,
  },
  {
    name: "succeeded at unknown cost",
    job: JOB,
    end: { ...END, answer: { bodyText: ANSWER_TEXT, facts: { ...FACTS, nanoUsd: null } } },
  },
  { name: "coalesced", job: JOB, end: { ...END, served: "coalesced", history: [] } },
  { name: "cached", job: JOB, end: { ...END, served: "exact_cache", history: [] } },
  {
    name: "failed with the provider's words",
    job: FAILED_JOB,
    end: {
      ...END,
      answer: null,
      failure: {
        code: "PROVIDER_UNAVAILABLE",
        message: "expected an answer, got 429 five times",
        provider: { status: 429, code: "rate_limit_exceeded", requestId: "req_9" },
        retryAtMs: ACCEPTED_MS + 60_000.5,
      },
      history: [EARLIER, { ...ATTEMPT, outcome: "in_doubt" }],
    },
  },
  {
    name: "expired while its paid answer was under way",
    job: { ...FAILED_JOB, status: "expired" },
    end: {
      ...END,
      failure: { code: "DEADLINE_EXCEEDED", message: "the deadline passed", provider: null, retryAtMs: null },
      history: [EARLIER, ATTEMPT],
    },
  },
  {
    name: "expired before any call",
    job: { ...FAILED_JOB, status: "expired", execution: null },
    end: {
      ...END,
      stage: "intake",
      answer: null,
      failure: { code: "DEADLINE_EXCEEDED", message: "the deadline passed", provider: null, retryAtMs: null },
      history: [],
    },
  },
  {
    name: "cancelled",
    job: { ...JOB, status: "cancelled" },
    end: {
      ...END,
      answer: null,
      failure: { code: "CANCELLED", message: "cancelled by its producer", provider: null, retryAtMs: null },
      history: [],
    },
  },
  { name: "succeeded as a line", job: JOB, end: { ...END, answer: { bodyText: ANSWER_TEXT, facts: BATCH_FACTS } } },
  {
    name: "succeeded as a line, explained",
    job: { ...JOB, envelope: envelopeTo(RESULTS_TOPIC, {}, true) },
    end: { ...END, answer: { bodyText: ANSWER_TEXT, facts: BATCH_FACTS } },
  },
  { name: "chosen by score", job: JOB, end: { ...END, answer: { bodyText: ANSWER_TEXT, facts: SCORED_FACTS } } },
  {
    name: "chosen by score, explained",
    job: { ...JOB, envelope: envelopeTo(RESULTS_TOPIC, {}, true) },
    end: { ...END, answer: { bodyText: ANSWER_TEXT, facts: SCORED_FACTS } },
  },
  {
    name: "joined a line",
    job: JOB,
    end: { ...END, served: "coalesced", history: [], answer: { bodyText: ANSWER_TEXT, facts: BATCH_FACTS } },
  },
  {
    name: "failed as a line",
    job: FAILED_JOB,
    end: {
      ...END,
      answer: null,
      failure: { code: "PROVIDER_LOST", message: "two batches left it out", provider: null, retryAtMs: null },
      history: [EARLIER, { ...LINE, outcome: "line_missing" }],
      stage: "batch",
    },
  },
  { name: "succeeded as a replay's generation", job: { ...JOB, generation: 2 }, end: END },
];

export interface RenderedCase {
  readonly name: string;
  readonly outgoing: readonly Outgoing[];
}

/** Everything that leaves for each case, under the encoders or as JSON. */
export function renderedCases(encoders?: ValueEncoders): readonly RenderedCase[] {
  const settings: RenderSettings = {
    environment: "test",
    cluster: "cluster-1",
    group: "sluice-test-intake",
    costsTopic: COSTS_TOPIC,
    eventsTopic: "llm.events.v1",
    ...(encoders === undefined ? {} : { encoders }),
  };
  const renderer = createRenderer(settings);
  const ends = END_CASES.map(({ name, job, end }) => {
    const { outgoing, deadLetter } = renderer.end(job, end);
    return { name, outgoing: deadLetter === null ? outgoing : [...outgoing, deadLetter.outgoing] };
  });
  const [original] = ends[0]?.outgoing ?? [];
  const repeats = original === undefined ? [] : [renderer.repeat(original, envelopeTo(RESULTS_TOPIC, {}), 9002, DAY)];
  const lateCosts = LATE_COSTS.map((late) => renderer.lateCost(late).outgoing);
  return [
    ...ends,
    { name: "a repeat", outgoing: repeats },
    { name: "late costs", outgoing: lateCosts },
    { name: "refused", outgoing: refused(settings) },
  ];
}

const LATE = {
  tenant: "acme",
  execution: { no: 4000, day: DAY },
  payer: { jobId: "order-17", generation: 0, envelope: JOB.envelope },
  attempt: INTENT,
  usage: FACTS.usage,
  atMs: ACCEPTED_MS + 90_000,
  no: 4012,
};
const LATE_COSTS = [
  { ...LATE, billing: "in_doubt", nanoUsd: null, priceVersion: null, correctsNo: null },
  { ...LATE, billing: "waste", nanoUsd: 123_450n, priceVersion: "prices-1", correctsNo: null, payer: null },
  {
    ...LATE,
    attempt: { ...INTENT, batchNo: 17 },
    providerBatchId: "batch_67f",
    billing: "waste",
    nanoUsd: 61_725n,
    priceVersion: "prices-1",
    correctsNo: null,
  },
  { ...LATE, billing: "charged", nanoUsd: -450n, priceVersion: "prices-1", correctsNo: 4012, no: 4013 },
] as const;

function refused(settings: RenderSettings): readonly Outgoing[] {
  const rendered = renderRefused(settings, {
    no: 9003,
    day: DAY,
    record: { topic: "llm.jobs.v1", partition: 3, offset: 78, key: Buffer.from([0xff, 0]), value: ORIGINAL_VALUE },
    headersText: "[]",
    refusal: {
      code: "UNKNOWN_MODEL",
      message: "model: expected an alias, got chaep",
      tenant: "acme",
      jobId: "order-18",
      identity: {
        tenant: "acme",
        jobId: "order-18",
        format: null,
        labels: LABELS,
        submittedAtMs: ACCEPTED_MS,
        reply: { topic: RESULTS_TOPIC, partition: null, key: null, headers: [] },
      },
    },
    nowMs: ACCEPTED_MS + 5,
  });
  return rendered.outgoing;
}
