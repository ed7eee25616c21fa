import { readdir, readFile } from "node:fs/promises";
import { expect, test } from "@jest/globals";
import { checkAll, CHECKERS } from "../../src/chaos/checkers/check-all.js";
import type { CheckerName } from "../../src/chaos/checkers/check-all.js";
import type { Evidence, TopicRecord } from "../../src/chaos/evidence/evidence.js";
import { goodEvidence, idOf, record, sha256, START_MS } from "./chaos-evidence-fixture.js";
import type { Broken } from "./chaos-evidence-fixture.js";

test("evidence of a run in which everything holds gives no violation", () => {
  const report = checkAll(goodEvidence());
  expect(report.violations).toEqual([]);
  expect(Object.values(report.byChecker).every((count) => count === 0)).toBe(true);
  expect(report.figures).toEqual({
    jobs: 8,
    lost: 0,
    answeredTwice: 0,
    repeats: 0,
    resent: 1,
    submittedTwice: 0,
    inDoubt: 1,
    doubtBound: 1,
    ledgerEqualsBill: true,
    budgetOverrunNanoUsd: 0n,
    settledS: 20,
  });
});

interface Planted {
  readonly rule: string;
  readonly what: string;
  readonly plant: (evidence: Broken<Evidence>) => void;
}

function first<Item>(items: readonly Item[], matches: (item: Item) => boolean = () => true): Item {
  const found = items.find(matches);
  if (found === undefined) throw new Error("expected the fixture to have it");
  return found;
}

function drop<Item>(items: Item[], matches: (item: Item) => boolean): void {
  const place = items.findIndex(matches);
  if (place === -1) throw new Error("expected the fixture to have it");
  items.splice(place, 1);
}

/** A record with another value, key or headers. */
function changed(
  of: TopicRecord,
  change: { readonly value?: string; readonly key?: string; readonly headers?: Readonly<Record<string, string>> },
): TopicRecord {
  const headers = new Map(of.headers);
  for (const [name, text] of Object.entries(change.headers ?? {})) headers.set(name, Buffer.from(text));
  return {
    ...of,
    headers,
    key: change.key === undefined ? of.key : Buffer.from(change.key),
    value: change.value === undefined ? of.value : Buffer.from(change.value),
  };
}

const resultOf = (evidence: Broken<Evidence>, jobId: string, generation = 0) =>
  first(evidence.topics.results, (result) => result.jobId === jobId && result.generation === generation);
const jobNo = (evidence: Broken<Evidence>, no: number) => first(evidence.ledger.jobs, (job) => job.no === no);
const attemptNo = (evidence: Broken<Evidence>, no: number) =>
  first(evidence.ledger.attempts, (attempt) => attempt.no === no);
const executionNo = (evidence: Broken<Evidence>, no: number) =>
  first(evidence.ledger.executions, (execution) => execution.no === no);
const billOf = (evidence: Broken<Evidence>, no: number) => first(evidence.bill, ({ attempt }) => attempt === idOf(no));
const costOf = (evidence: Broken<Evidence>, costId: string) =>
  first(evidence.topics.costs, (cost) => cost.costId === costId);
const letterOf = (evidence: Broken<Evidence>, code: string) =>
  first(evidence.topics.deadLetters, (letter) => letter.code === code);

const PLANTED: Readonly<Record<CheckerName, readonly Planted[]>> = {
  conservation: [
    {
      rule: "record_gone",
      what: "an acknowledged record is not in the topic",
      plant: ({ topics, ledger }) => {
        drop(topics.inputs, ({ number }) => number === 6);
        first(ledger.positions).next = "12";
      },
    },
    {
      rule: "lost",
      what: "a record became no job and nothing else",
      plant: ({ ledger }) => {
        drop(ledger.jobs, ({ no }) => no === 202);
      },
    },
    {
      rule: "lost",
      what: "bytes that are no job have no dead letter",
      plant: ({ topics }) => {
        drop(topics.deadLetters, ({ code }) => code === "BAD_JSON");
      },
    },
    {
      rule: "lost",
      what: "a conflicting record vanished",
      plant: ({ topics }) => {
        drop(topics.deadLetters, ({ code }) => code === "ID_CONFLICT");
      },
    },
    {
      rule: "lost",
      what: "nobody was told of a refusal",
      plant: ({ topics }) => {
        drop(topics.results, ({ generation }) => generation === -1);
      },
    },
    {
      rule: "two_fates",
      what: "a job is a dead letter of intake too",
      plant: ({ topics }) => {
        const letter = first(topics.deadLetters, ({ code }) => code === "BAD_JSON");
        topics.deadLetters.push({ ...letter, origin: { topic: "jobs", partition: 0, offset: "2" } });
      },
    },
    {
      rule: "accepted_twice",
      what: "job and repeat both became generation 0",
      plant: ({ ledger }) => {
        ledger.jobs.push({ ...first(ledger.jobs), no: 220, source: "jobs:0:7" });
      },
    },
    {
      rule: "repeat_refused",
      what: "a repeat of a job is a dead letter",
      plant: (evidence) => {
        evidence.topics.deadLetters.push({
          ...letterOf(evidence, "ID_CONFLICT"),
          origin: { topic: "jobs", partition: 0, offset: "7" },
        });
      },
    },
    {
      rule: "other_code",
      what: "bytes that are no JSON were told to be something else",
      plant: (evidence) => {
        letterOf(evidence, "BAD_JSON").code = "BAD_AVRO";
      },
    },
    {
      rule: "refused_accepted",
      what: "a job with a model that nobody knows was taken",
      plant: ({ ledger, topics }) => {
        ledger.jobs.push({ ...first(ledger.jobs), no: 221, jobId: "strange", source: "jobs:0:10" });
        drop(topics.deadLetters, ({ code }) => code === "UNKNOWN_MODEL");
      },
    },
    {
      rule: "cancel_taken",
      what: "a cancellation became a dead letter",
      plant: (evidence) => {
        evidence.topics.deadLetters.push({
          ...letterOf(evidence, "BAD_JSON"),
          origin: { topic: "jobs", partition: 0, offset: "6" },
        });
      },
    },
    {
      rule: "foreign_record",
      what: "a record that nobody published",
      plant: ({ topics, ledger }) => {
        ledger.positions.push({ topic: "jobs", partition: 1, next: "1" });
        topics.inputs.push({ topic: "jobs", partition: 1, offset: "0", timestampMs: 0, number: null, valueDigest: "" });
      },
    },
    {
      rule: "never_ended",
      what: "a job is active still",
      plant: (evidence) => {
        jobNo(evidence, 204).state = "active";
      },
    },
    {
      rule: "job_of_nothing",
      what: "a job of a record that is in no topic",
      plant: (evidence) => {
        evidence.ledger.jobs.push({ ...jobNo(evidence, 206), no: 222, generation: 2, source: "jobs:0:400" });
      },
    },
    {
      rule: "unread",
      what: "the ledger stopped before the end of a partition",
      plant: ({ ledger }) => {
        first(ledger.positions).next = "11";
      },
    },
    {
      rule: "too_many_suspects",
      what: "an innocent record was taken for one that ends its readers",
      plant: (evidence) => {
        drop(evidence.ledger.jobs, ({ no }) => no === 202);
        evidence.topics.deadLetters.push({
          ...letterOf(evidence, "BAD_JSON"),
          code: "CRASH_SUSPECT",
          origin: { topic: "jobs", partition: 0, offset: "2" },
        });
      },
    },
  ],
  one_result: [
    {
      rule: "answered_twice",
      what: "a second result of a generation with other bytes",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        evidence.topics.results.push({ ...result, record: changed(result.record, { value: "{}" }) });
      },
    },
    {
      rule: "answered_twice",
      what: "the result that was sent again is another",
      plant: ({ topics }) => {
        const resent = first(topics.results, ({ record: { headers } }) => headers.has("llm-duplicate"));
        resent.record = changed(resent.record, { value: "{}" });
      },
    },
    {
      rule: "too_many_copies",
      what: "more copies than publications were interrupted",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        evidence.topics.results.push({ ...result }, { ...result });
      },
    },
    {
      rule: "lost",
      what: "a job that ended has no result",
      plant: (evidence) => {
        drop(evidence.topics.results, ({ jobId }) => jobId === "line");
      },
    },
    {
      rule: "other_status",
      what: "the result and the ledger differ",
      plant: (evidence) => {
        jobNo(evidence, 202).state = "failed";
      },
    },
    {
      rule: "unknown_result",
      what: "a result of a generation that there is none of",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        const resultId = "another";
        const told = changed(result.record, { headers: { ce_id: resultId } });
        evidence.topics.results.push({ ...result, generation: 5, resultId, record: told });
      },
    },
    {
      rule: "generations_out_of_order",
      what: "a generation is missing",
      plant: (evidence) => {
        jobNo(evidence, 206).generation = 2;
        resultOf(evidence, "failing", 1).generation = 2;
      },
    },
    {
      rule: "ended_and_replayed",
      what: "an answered job was replayed",
      plant: (evidence) => {
        jobNo(evidence, 203).state = "cancelled";
        resultOf(evidence, "failing").status = "cancelled";
      },
    },
    {
      rule: "wrong_id",
      what: "a record's id is not its result's",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        result.record = changed(result.record, { headers: { ce_id: "another" } });
      },
    },
    {
      rule: "shared_id",
      what: "two results have one id",
      plant: (evidence) => {
        const { resultId } = resultOf(evidence, "line");
        const result = resultOf(evidence, "doubtful");
        result.resultId = resultId;
        result.record = changed(result.record, { headers: { ce_id: resultId } });
      },
    },
    {
      rule: "not_sent_again",
      what: "a repeated record got nothing",
      plant: ({ topics }) => {
        drop(topics.results, ({ record: { headers } }) => headers.has("llm-duplicate"));
      },
    },
    {
      rule: "sent_again_for_nothing",
      what: "a result was sent again for a record that repeats none",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        const headers = { "llm-duplicate": "true", "chaos-number": "2" };
        evidence.topics.results.push({ ...result, record: changed(result.record, { headers }) });
      },
    },
  ],
  right_answer: [
    {
      rule: "wrong_answer",
      what: "an answer of another job",
      plant: (evidence) => {
        resultOf(evidence, "line").answerText = resultOf(evidence, "doubtful").answerText;
      },
    },
    {
      rule: "no_digest",
      what: "an answer without a digest",
      plant: (evidence) => {
        resultOf(evidence, "line").answerText = "words";
      },
    },
    {
      rule: "wrong_key",
      what: "another key",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        result.record = changed(result.record, { key: "another" });
      },
    },
    {
      rule: "wrong_correlation",
      what: "the correlation of another job",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        result.record = changed(result.record, { headers: { kafka_correlationId: "correlation 4" } });
      },
    },
    {
      rule: "wrong_format",
      what: "an answer in another format",
      plant: (evidence) => {
        resultOf(evidence, "line").format = "anthropic.messages";
      },
    },
  ],
  no_line_twice: [
    {
      rule: "line_billed_twice",
      what: "a line was run twice",
      plant: (evidence) => {
        evidence.bill.push({ ...billOf(evidence, 502), line: 2 });
      },
    },
    {
      rule: "call_billed_twice",
      what: "one attempt was called twice",
      plant: (evidence) => {
        evidence.bill.push({ ...billOf(evidence, 501) });
      },
    },
    {
      rule: "call_without_intent",
      what: "a call that the ledger knows nothing of",
      plant: (evidence) => {
        evidence.bill.push({ ...billOf(evidence, 501), attempt: idOf(599) });
      },
    },
    {
      rule: "two_open",
      what: "a second call began while the first was out, by the history",
      plant: (evidence) => {
        for (const change of evidence.ledger.history ?? []) if (change.no === 506) change.transaction = "78";
      },
    },
    {
      rule: "two_open",
      what: "a second call began while the first was out, by the rows alone",
      plant: (evidence) => {
        evidence.ledger.history = null;
        attemptNo(evidence, 505).settledMs = START_MS + 380;
      },
    },
    {
      rule: "retried_against_policy",
      what: "another call after a doubt that is to fail",
      plant: ({ run }) => {
        run.doubtPolicy = "fail";
      },
    },
    {
      rule: "rescued_twice",
      what: "two rescues of one execution",
      plant: (evidence) => {
        attemptNo(evidence, 505).supersedes = 1;
        attemptNo(evidence, 506).supersedes = 1;
      },
    },
    {
      rule: "created_without_proof",
      what: "a batch was created again while nobody knew of the first",
      plant: ({ ledger }) => {
        first(ledger.creates).settled = null;
      },
    },
    {
      rule: "batch_taken_twice",
      what: "two batches of ours are one of theirs",
      plant: ({ ledger }) => {
        ledger.creates.push({ ...first(ledger.creates, ({ number }) => number === 2), batchNo: 901 });
      },
    },
    {
      rule: "batch_created_twice",
      what: "a batch was run twice at the provider",
      plant: (evidence) => {
        evidence.ledger.attempts.push({ ...attemptNo(evidence, 502), no: 508, executionNo: 250 });
        evidence.bill.push({ ...billOf(evidence, 502), attempt: idOf(508), batch: "batch_y" });
      },
    },
  ],
  money: [
    {
      rule: "conflicting_cost",
      what: "two cost records with one id and other bytes",
      plant: (evidence) => {
        const cost = costOf(evidence, "charge 501");
        evidence.topics.costs.push({ ...cost, record: changed(cost.record, { value: "{}" }) });
      },
    },
    {
      rule: "wrong_key",
      what: "a cost record's key is not its tenant",
      plant: (evidence) => {
        const cost = costOf(evidence, "charge 501");
        cost.record = changed(cost.record, { key: "globex" });
      },
    },
    {
      rule: "shared_costs",
      what: "an answer of somebody else's call costs something",
      plant: (evidence) => {
        costOf(evidence, "zero 201").attemptId = idOf(501);
      },
    },
  ],
  budget: [
    {
      rule: "overrun",
      what: "more was settled and reserved than the limit",
      plant: ({ samples }) => {
        first(samples.budgets).settledNanoUsd = 8_001n;
      },
    },
    {
      rule: "reservations_differ",
      what: "what is reserved is not the sum of the reservations",
      plant: ({ samples }) => {
        first(samples.budgets).reservationsNanoUsd = 1_000n;
      },
    },
    {
      rule: "reserved_for_nothing",
      what: "a reservation whose attempt has ended",
      plant: ({ samples }) => {
        first(samples.budgets).unfinished = 1;
      },
    },
    {
      rule: "never_looked",
      what: "nobody looked at the budgets",
      plant: ({ samples }) => {
        samples.budgets = [];
      },
    },
    {
      rule: "settled_differs",
      what: "a cost was added twice",
      plant: ({ ledger }) => {
        first(ledger.budgets).settledNanoUsd += 350n;
      },
    },
    {
      rule: "reserved_in_the_end",
      what: "money is held after everything was reconciled",
      plant: (evidence) => {
        const level = first(evidence.ledger.budgets);
        level.reservedNanoUsd = 1_000n;
        level.settledNanoUsd -= 700n;
        attemptNo(evidence, 505).state = "settled";
        evidence.ledger.reservations.push({ attemptNo: 505, level: level.level, sinceMs: 0, maxNanoUsd: 1_000n });
      },
    },
  ],
  offsets: [
    {
      rule: "ahead_of_ledger",
      what: "an offset was committed before its job was durable",
      plant: ({ samples }) => {
        first(samples.offsets).committed = "6";
        first(samples.offsets, ({ logEnd }) => logEnd === "12").committed = "6";
      },
    },
    {
      rule: "beyond_log",
      what: "the ledger is beyond the log's end",
      plant: ({ samples }) => {
        first(samples.offsets).logEnd = "4";
      },
    },
    {
      rule: "went_back",
      what: "a position went back",
      plant: ({ samples }) => {
        first(samples.offsets, ({ phase }) => phase === "settled").committed = "4";
      },
    },
    {
      rule: "went_back",
      what: "a position was higher once than in the end",
      plant: ({ ledger }) => {
        first(ledger.positions).next = "10";
      },
    },
    {
      rule: "never_looked",
      what: "nobody looked at the offsets",
      plant: ({ samples }) => {
        samples.offsets = [];
      },
    },
  ],
  states: [
    {
      rule: "edge_not_allowed",
      what: "an ended job began again",
      plant: ({ ledger }) => {
        const last = first(ledger.history ?? [], ({ table, to }) => table === "jobs" && to === "succeeded");
        ledger.history?.push(
          { ...last, seq: 90, from: "succeeded", to: "failed" },
          { ...last, seq: 91, from: "failed", to: "succeeded" },
        );
      },
    },
    {
      rule: "edge_not_allowed",
      what: "a job was new and answered at once, and a call served it",
      plant: ({ ledger }) => {
        drop(ledger.history ?? [], ({ table, to }) => table === "jobs" && to === "active");
        for (const change of ledger.history ?? []) if (change.table === "jobs") change.from = null;
      },
    },
    {
      rule: "edge_not_allowed",
      what: "a job was new and out of time at once, and has an execution",
      plant: (evidence) => {
        const { history } = evidence.ledger;
        const last = first(history ?? [], ({ table, to }) => table === "jobs" && to === "succeeded");
        history?.push({ ...last, no: 201, seq: 90, from: null, to: "expired" });
        Object.assign(jobNo(evidence, 201), { state: "expired", executionNo: 200 });
      },
    },
    {
      rule: "edge_not_allowed",
      what: "a job was new and cancelled at once, and has an execution",
      plant: (evidence) => {
        const { history } = evidence.ledger;
        const last = first(history ?? [], ({ table, to }) => table === "jobs" && to === "succeeded");
        history?.push({ ...last, no: 201, seq: 90, from: null, to: "cancelled" });
        Object.assign(jobNo(evidence, 201), { state: "cancelled", executionNo: 200 });
      },
    },
    {
      rule: "never_ended",
      what: "a batch is still out",
      plant: ({ ledger }) => {
        first(ledger.batches).state = "submitted";
      },
    },
    {
      rule: "decided_after_its_end",
      what: "a session that was declared dead made a call, by the history",
      plant: ({ ledger }) => {
        for (const change of ledger.history ?? []) if (change.no === 506) change.sessionNo = 1;
      },
    },
    {
      rule: "decided_after_its_end",
      what: "a session that was declared dead made a call, by the rows alone",
      plant: (evidence) => {
        evidence.ledger.history = null;
        attemptNo(evidence, 504).sessionNo = 2;
        attemptNo(evidence, 507).startedMs = START_MS + 291;
      },
    },
    {
      rule: "way_broken",
      what: "a row changed and nobody saw it",
      plant: ({ ledger }) => {
        drop(ledger.history ?? [], ({ no, to }) => no === 505 && to === "settled");
      },
    },
  ],
  dedupe: [
    {
      rule: "called_again",
      what: "a second execution beside an unfinished one",
      plant: (evidence) => {
        jobNo(evidence, 201).executionNo = 201;
        evidence.ledger.executions.push({ ...executionNo(evidence, 200), no: 201, attempts: 0 });
      },
    },
    {
      rule: "called_again",
      what: "a second execution though there was an answer",
      plant: (evidence) => {
        jobNo(evidence, 201).executionNo = 201;
        jobNo(evidence, 201).acceptedMs = START_MS + 600;
        evidence.ledger.executions.push({ ...executionNo(evidence, 200), no: 201, attempts: 0 });
      },
    },
    {
      rule: "shared_across_tenants",
      what: "a job waits for another tenant's call",
      plant: (evidence) => {
        executionNo(evidence, 211).tenant = "acme";
        executionNo(evidence, 211).key = null;
      },
    },
    {
      rule: "shared_by_others",
      what: "two requests share a call",
      plant: (evidence) => {
        first(evidence.published, ({ jobId }) => jobId === "joined").requestKey = sha256("something else");
      },
    },
    {
      rule: "execution_gone",
      what: "a job's execution is not there",
      plant: (evidence) => {
        drop(evidence.ledger.executions, ({ no }) => no === 202);
        drop(evidence.ledger.attempts, ({ no }) => no === 502);
      },
    },
    {
      rule: "other_answer",
      what: "two jobs of one execution got different answers",
      plant: (evidence) => {
        resultOf(evidence, "joined").answerText = "another";
      },
    },
    {
      rule: "other_end",
      what: "a job succeeded and its execution did not",
      plant: (evidence) => {
        executionNo(evidence, 202).state = "failed";
      },
    },
    {
      rule: "attempts_not_counted",
      what: "an attempt that its execution does not count",
      plant: (evidence) => {
        executionNo(evidence, 204).attempts = 1;
      },
    },
  ],
  dead_letters: [
    {
      rule: "incomplete",
      what: "a dead letter without its cause",
      plant: (evidence) => {
        letterOf(evidence, "BAD_JSON").message = null;
      },
    },
    {
      rule: "origin_unknown",
      what: "a dead letter of a record that is in no topic",
      plant: ({ topics }) => {
        drop(topics.inputs, ({ number }) => number === 9);
      },
    },
    {
      rule: "changed_bytes",
      what: "a dead letter with other bytes",
      plant: (evidence) => {
        const letter = letterOf(evidence, "BAD_JSON");
        letter.record = changed(letter.record, { value: "changed" });
      },
    },
    {
      rule: "replayed_too_often",
      what: "a job that was replayed more often than it may be",
      plant: (evidence) => {
        letterOf(evidence, "PROVIDER_REFUSED").replayCount = 4;
        first(evidence.ledger.deadLetters, ({ code }) => code === "PROVIDER_REFUSED").generation = 4;
      },
    },
    {
      rule: "letters_differ",
      what: "two copies of one dead letter with different bytes",
      plant: (evidence) => {
        const letter = letterOf(evidence, "BAD_JSON");
        const headers = { "llm-value-omitted-bytes": "24" };
        evidence.topics.deadLetters.push({ ...letter, record: changed(letter.record, { headers }) });
      },
    },
    {
      rule: "letter_not_published",
      what: "a dead letter of the ledger lies in no topic",
      plant: ({ topics }) => {
        drop(topics.deadLetters, ({ code }) => code === "BAD_JSON");
      },
    },
    {
      rule: "letter_of_nothing",
      what: "a dead letter that the ledger knows nothing of",
      plant: ({ ledger }) => {
        drop(ledger.deadLetters, ({ code }) => code === "BAD_JSON");
      },
    },
    {
      rule: "two_letters",
      what: "one failure has two dead letters",
      plant: ({ ledger }) => {
        ledger.deadLetters.push({ ...first(ledger.deadLetters), no: 350 });
      },
    },
    {
      rule: "replayed_twice",
      what: "two operators replayed one job",
      plant: (evidence) => {
        evidence.ledger.replays.push({ ...first(evidence.ledger.replays), newNo: 206, byWhom: "ben" });
      },
    },
    {
      rule: "wrong_replay",
      what: "a replay made a generation of another job",
      plant: (evidence) => {
        jobNo(evidence, 206).jobId = "another";
      },
    },
    {
      rule: "replayed_unfailed",
      what: "an answered job was replayed",
      plant: (evidence) => {
        jobNo(evidence, 203).state = "succeeded";
      },
    },
    {
      rule: "generation_without_replay",
      what: "a next generation that nobody asked for",
      plant: ({ ledger }) => {
        ledger.replays = [];
      },
    },
    {
      rule: "replay_of_nothing",
      what: "a replay made no job",
      plant: (evidence) => {
        drop(evidence.ledger.jobs, ({ no }) => no === 206);
      },
    },
  ],
  isolation: [
    {
      rule: "tenant_told",
      what: "a result of one tenant holds text of another",
      plant: ({ topics }) => {
        const result = first(topics.results, ({ tenant }) => tenant === "globex");
        result.record = changed(result.record, { value: '{"text":"so canary-of-acme it is"}' });
      },
    },
    {
      rule: "tenant_told",
      what: "an event holds text of a tenant",
      plant: ({ topics }) => {
        first(topics.events).record = record("events", 0, null, { message: "canary-of-acme" });
      },
    },
    {
      rule: "tenant_told",
      what: "a log holds a prompt, though a row of the tenant may",
      plant: ({ sinks }) => {
        first(sinks).hits = [{ canary: "acme's prompts", count: 1, tenant: "acme", where: "router-1.log" }];
      },
    },
    {
      rule: "tenant_told",
      what: "a row of one tenant holds text of another",
      plant: ({ sinks }) => {
        first(first(sinks, ({ kind }) => kind === "ledger").hits).tenant = "globex";
      },
    },
    {
      rule: "tenant_told",
      what: "a row that keeps an unread record of one tenant holds text of another",
      plant: (evidence) => {
        const globex = first(evidence.published, ({ tenant }) => tenant === "globex");
        const input = first(evidence.topics.inputs, ({ number }) => number === globex.number);
        Object.assign(first(first(evidence.sinks, ({ kind }) => kind === "ledger").hits), {
          tenant: null,
          source: `${input.topic}:${String(input.partition)}:${input.offset}`,
        });
      },
    },
    {
      rule: "tenant_told",
      what: "a row of nobody holds text of a tenant",
      plant: ({ sinks }) => {
        first(first(sinks, ({ kind }) => kind === "ledger").hits).tenant = null;
      },
    },
    {
      rule: "secret_told",
      what: "a key is in a header",
      plant: (evidence) => {
        const result = resultOf(evidence, "line");
        result.record = changed(result.record, { headers: { "x-note": "used sk-canary" } });
      },
    },
    {
      rule: "secret_told",
      what: "a key is in Redis",
      plant: ({ sinks }) => {
        first(sinks, ({ kind }) => kind === "redis").hits = [
          { canary: "the provider key", count: 1, tenant: null, where: "redis limits:main" },
        ];
      },
    },
    {
      rule: "sink_not_read",
      what: "the metrics were not searched",
      plant: ({ sinks }) => {
        first(sinks, ({ kind }) => kind === "metrics").bytes = 0;
      },
    },
  ],
  deadlines: [
    {
      rule: "begun_after_deadline",
      what: "a call began after the deadline",
      plant: (evidence) => {
        attemptNo(evidence, 501).startedMs = START_MS + 3_600_051;
      },
    },
    {
      rule: "billed_after_deadline",
      what: "a call was billed too late to have begun in time",
      plant: (evidence) => {
        billOf(evidence, 501).atMs = START_MS + 3_600_000 + 30_000 + 51;
      },
    },
    {
      rule: "succeeded_after_deadline",
      what: "a job succeeded after its deadline",
      plant: (evidence) => {
        jobNo(evidence, 200).endedMs = START_MS + 3_600_001;
      },
    },
    {
      rule: "expired_before_deadline",
      what: "a job expired before its time",
      plant: (evidence) => {
        jobNo(evidence, 205).state = "expired";
      },
    },
    {
      rule: "other_deadline",
      what: "a job has another deadline than it asked for",
      plant: (evidence) => {
        jobNo(evidence, 202).deadlineMs += 1;
      },
    },
  ],
  liveness: [
    {
      rule: "never_settled",
      what: "the work never ended",
      plant: ({ run }) => {
        run.settledAtMs = null;
      },
    },
    {
      rule: "settled_late",
      what: "the work ended too late",
      plant: ({ run }) => {
        run.settledAtMs = run.faultsEndedAtMs + 60_001;
      },
    },
    {
      rule: "frozen_partition",
      what: "a partition stood still with lag",
      plant: ({ samples }) => {
        const look = first(samples.offsets, ({ logEnd }) => logEnd === "12");
        samples.offsets.splice(2, 0, { ...look, atMs: look.atMs + 30_000 }, { ...look, atMs: look.atMs + 60_001 });
      },
    },
  ],
  bounds: [
    {
      rule: "memory",
      what: "a router had too much memory",
      plant: ({ samples }) => {
        first(samples.processes).rssBytes = 512 * 1024 * 1024 + 1;
      },
    },
    {
      rule: "descriptors",
      what: "descriptors are left open",
      plant: ({ samples }) => {
        first(samples.processes, ({ phase }) => phase === "settled").descriptors = 67;
      },
    },
    {
      rule: "left_over",
      what: "a record waits to be published",
      plant: ({ ledger }) => {
        ledger.waiting.outbox_ready = 1;
      },
    },
    {
      rule: "left_over",
      what: "a job is active in the end",
      plant: ({ samples }) => {
        first(samples.queues).activeJobs = 1;
      },
    },
    {
      rule: "never_looked",
      what: "nobody looked at a router before the end",
      plant: ({ samples }) => {
        samples.processes.shift();
      },
    },
    {
      rule: "never_looked",
      what: "nobody looked at the routers",
      plant: ({ samples }) => {
        samples.processes = [];
      },
    },
  ],
  doubt: [
    {
      rule: "more_than_in_the_air",
      what: "more doubts than calls were in the air",
      plant: ({ faults }) => {
        first(faults).callsInAir = 0;
      },
    },
    {
      rule: "line_in_doubt",
      what: "a line that a provider has is in doubt",
      plant: (evidence) => {
        attemptNo(evidence, 505).batchNo = 900;
      },
    },
    {
      rule: "doubt_never_settled",
      what: "a doubt that nobody settled",
      plant: (evidence) => {
        attemptNo(evidence, 505).state = "in_doubt";
      },
    },
    {
      rule: "doubt_of_nothing",
      what: "an event tells of an attempt that is not there",
      plant: (evidence) => {
        drop(evidence.ledger.attempts, ({ no }) => no === 505);
      },
    },
  ],
  rebuild: [
    {
      rule: "other_state",
      what: "the topics tell of another end",
      plant: (evidence) => {
        resultOf(evidence, "stopped").status = "succeeded";
      },
    },
    {
      rule: "other_state",
      what: "a cost is in the ledger alone",
      plant: (evidence) => {
        drop(evidence.topics.costs, ({ costId }) => costId === "charge 507");
      },
    },
  ],
};

/** Faults that more than one rule sees: a wrong amount is one in the sums of its tenant, its batch and all, too. */
const SEEN_BY_SEVERAL: readonly (Planted & { readonly by: CheckerName })[] = [
  {
    by: "one_result",
    rule: "two_generations_succeeded",
    what: "two generations of a job succeeded",
    plant: (evidence) => {
      resultOf(evidence, "failing").status = "succeeded";
    },
  },
  {
    by: "money",
    rule: "cost_without_attempt",
    what: "a charge names no attempt",
    plant: (evidence) => {
      costOf(evidence, "charge 501").attemptId = null;
    },
  },
  {
    by: "money",
    rule: "unclaimed_bill_row",
    what: "a row of the bill that no cost record is of",
    plant: (evidence) => {
      evidence.bill.push({ ...billOf(evidence, 501), attempt: idOf(599) });
    },
  },
  {
    by: "money",
    rule: "charge_without_bill",
    what: "a charge that was never billed",
    plant: (evidence) => {
      drop(evidence.bill, ({ attempt }) => attempt === idOf(501));
    },
  },
  {
    by: "money",
    rule: "wrong_amount",
    what: "one nano-dollar too much",
    plant: (evidence) => {
      costOf(evidence, "charge 501").nanoUsd = 701n;
    },
  },
  {
    by: "money",
    rule: "charged_twice",
    what: "two charges of one attempt",
    plant: (evidence) => {
      evidence.topics.costs.push({ ...costOf(evidence, "charge 501"), costId: "charge again" });
    },
  },
  {
    by: "money",
    rule: "adjustment_alone",
    what: "an adjustment without its charge",
    plant: (evidence) => {
      drop(evidence.topics.costs, ({ costId }) => costId === "charge 505");
    },
  },
  {
    by: "money",
    rule: "open_after_reconcile",
    what: "a doubt that reconciling did not settle",
    plant: (evidence) => {
      drop(evidence.topics.costs, ({ costId }) => costId === "adjustment 505");
      drop(evidence.ledger.costs, ({ kind }) => kind === "adjustment");
    },
  },
  {
    by: "money",
    rule: "above_maximum",
    what: "a doubt was billed above its maximum",
    plant: (evidence) => {
      evidence.run.reconciled = false;
      drop(evidence.topics.costs, ({ costId }) => costId === "adjustment 505");
      drop(evidence.ledger.costs, ({ kind }) => kind === "adjustment");
      billOf(evidence, 505).nanoUsd = 1_001n;
    },
  },
  {
    by: "money",
    rule: "wrong_tokens",
    what: "other tokens than were billed",
    plant: (evidence) => {
      costOf(evidence, "charge 501").outputTokens = 6;
    },
  },
  {
    by: "money",
    rule: "wrong_mode",
    what: "a line was booked as a call",
    plant: (evidence) => {
      costOf(evidence, "charge 502").mode = "direct";
    },
  },
  {
    by: "money",
    rule: "wrong_batch",
    what: "a line was booked in another batch",
    plant: (evidence) => {
      costOf(evidence, "charge 502").providerBatchId = "batch_y";
    },
  },
  {
    by: "money",
    rule: "sums_differ",
    what: "a tenant pays for another's call",
    plant: (evidence) => {
      executionNo(evidence, 211).tenant = "acme";
    },
  },
  {
    by: "money",
    rule: "cost_not_published",
    what: "a cost of the ledger never went out",
    plant: (evidence) => {
      evidence.ledger.costs.push({ ...first(evidence.ledger.costs), no: 700, attemptNo: 510 });
    },
  },
  {
    by: "money",
    rule: "cost_not_in_ledger",
    what: "a cost record that the ledger does not have",
    plant: (evidence) => {
      drop(evidence.ledger.costs, ({ no }) => no === 507);
    },
  },
  {
    by: "money",
    rule: "missing_cost",
    what: "a served job without a cost record",
    plant: (evidence) => {
      resultOf(evidence, "line").costId = "charge of nobody";
    },
  },
  {
    by: "money",
    rule: "served_twice",
    what: "two cost records say that they served one job",
    plant: (evidence) => {
      costOf(evidence, "charge 507").tenant = "acme";
    },
  },
];

for (const [name, list] of Object.entries(PLANTED))
  test.each(list)(`${name} objects and says nothing else: $rule ($what)`, ({ rule, plant }) => {
    const evidence = goodEvidence();
    plant(evidence);
    const found = CHECKERS[name as CheckerName](evidence);
    expect([...new Set(found.map((violation) => `${violation.checker} ${violation.rule}`))]).toEqual([
      `${name} ${rule}`,
    ]);
  });

test.each(SEEN_BY_SEVERAL)("$by objects: $rule ($what)", ({ by, rule, plant }) => {
  const evidence = goodEvidence();
  plant(evidence);
  expect(CHECKERS[by](evidence).map((violation) => violation.rule)).toContain(rule);
});

/** The job of `globex` became none: no route could answer it in time. */
function withLateJob(): ReturnType<typeof goodEvidence> {
  const evidence = goodEvidence();
  const { topics, ledger } = evidence;
  drop(ledger.jobs, ({ tenant }) => tenant === "globex");
  Object.assign(
    first(topics.results, ({ tenant }) => tenant === "globex"),
    {
      ...{ generation: -1, status: "failed", errorCode: "NO_ROUTE_IN_TIME" },
    },
  );
  const letter = first(topics.deadLetters, ({ code }) => code === "UNKNOWN_MODEL");
  topics.deadLetters.push({
    ...letter,
    record: { ...letter.record, offset: "4" },
    code: "NO_ROUTE_IN_TIME",
    origin: { topic: "jobs", partition: 0, offset: "11" },
  });
  return evidence;
}

test("what may happen is no violation", () => {
  const copies = goodEvidence();
  copies.topics.results.push({ ...resultOf(copies, "line") });
  expect(checkAll(copies).violations).toEqual([]);
  expect(checkAll(copies).figures.repeats).toBe(1);

  // A producer's client that heard nothing sent one record twice: the second is a repeat of the first, and answered as one.
  const sentTwice = goodEvidence();
  const input = first(sentTwice.topics.inputs, ({ number }) => number === 2);
  sentTwice.topics.inputs.push({ ...input, offset: "12" });
  first(sentTwice.ledger.positions).next = "13";
  const answer = resultOf(sentTwice, "line");
  sentTwice.topics.results.push({
    ...answer,
    record: changed(answer.record, { headers: { "llm-duplicate": "true" } }),
  });
  expect(checkAll(sentTwice).violations).toEqual([]);

  // An answer from the cache, and a job whose time had passed: new and over at once.
  const atOnce = goodEvidence();
  const ended = first(atOnce.ledger.history ?? [], ({ table, to }) => table === "jobs" && to === "succeeded");
  const served = jobNo(atOnce, 201);
  first(atOnce.topics.results, ({ jobId }) => jobId === served.jobId).served = "exact_cache";
  Object.assign(jobNo(atOnce, 202), { state: "expired", executionNo: null });
  atOnce.ledger.history?.push(
    { ...ended, no: served.no, seq: 90, from: null, to: "succeeded" },
    { ...ended, no: 202, seq: 91, from: null, to: "expired" },
  );
  expect(CHECKERS.states(atOnce)).toEqual([]);
  // It is a dead letter of intake with its own end for a code, and no other.
  const lateJob = jobNo(atOnce, 202);
  lateJob.failureCode = "EXPIRED";
  const place202 = lateJob.source.slice("jobs:0:".length);
  const lateLetter = {
    ...letterOf(atOnce, "BAD_JSON"),
    code: "EXPIRED",
    origin: { topic: "jobs", partition: 0, offset: place202 },
  };
  atOnce.topics.deadLetters.push(lateLetter);
  expect(CHECKERS.conservation(atOnce)).toEqual([]);
  lateLetter.code = "BAD_JSON";
  expect(CHECKERS.conservation(atOnce).map(({ rule }) => rule)).toEqual(["two_fates"]);
  lateLetter.code = "EXPIRED";
  // And one that was cancelled by the record behind it.
  for (const change of atOnce.ledger.history ?? []) if (change.to === "expired") change.to = "cancelled";
  Object.assign(jobNo(atOnce, 202), { state: "cancelled" });
  expect(CHECKERS.states(atOnce)).toEqual([]);

  // A job that no route could answer in time is refused at the door, and hears of it.
  expect(CHECKERS.conservation(withLateJob())).toEqual([]);
  const unheard = withLateJob();
  drop(unheard.topics.results, ({ errorCode }) => errorCode === "NO_ROUTE_IN_TIME");
  expect(CHECKERS.conservation(unheard).map(({ rule }) => rule)).toEqual(["lost"]);

  // One that was put aside unread hears of nothing, whoever sent it: its dead letter is its end.
  const aside = goodEvidence();
  const refused = first(aside.published, ({ kind }) => kind === "refused");
  drop(aside.topics.results, ({ generation }) => generation < 0);
  expect(CHECKERS.conservation(aside).map(({ rule }) => rule)).toEqual(["lost"]);
  const place = first(aside.topics.inputs, ({ number }) => number === refused.number).offset;
  first(aside.topics.deadLetters, ({ origin }) => origin?.offset === place).code = "CRASH_SUSPECT";
  expect(CHECKERS.conservation(aside).map(({ rule }) => rule)).not.toContain("lost");

  // So does a cancellation that nobody read.
  const uncancelled = goodEvidence();
  const cancel = first(uncancelled.published, ({ kind }) => kind === "cancel");
  const { topic, partition, offset } = first(uncancelled.topics.inputs, ({ number }) => number === cancel.number);
  const cancelLetter = { ...letterOf(uncancelled, "BAD_JSON"), origin: { topic, partition, offset } };
  uncancelled.topics.deadLetters.push(cancelLetter);
  expect(CHECKERS.conservation(uncancelled).map(({ rule }) => rule)).toContain("cancel_taken");
  cancelLetter.code = "CRASH_SUSPECT";
  expect(CHECKERS.conservation(uncancelled).map(({ rule }) => rule)).not.toContain("cancel_taken");

  // A line that was missing may have been billed; the call that served the job stands beside it.
  const missed = goodEvidence();
  const served504 = first(missed.topics.costs, ({ jobId }) => jobId === "failing");
  missed.topics.costs.push({
    ...served504,
    costId: "charge 503",
    attemptId: idOf(503),
    billing: "suspect",
    nanoUsd: null,
  });
  expect(CHECKERS.money(missed).map(({ rule }) => rule)).not.toContain("served_twice");

  // What nobody could read is put aside with its sender's text.
  const unread = goodEvidence();
  const acme = first(unread.published, ({ tenant }) => tenant === "acme");
  const lies = first(unread.topics.inputs, ({ number }) => number === acme.number);
  Object.assign(first(first(unread.sinks, ({ kind }) => kind === "ledger").hits), {
    tenant: null,
    source: `${lies.topic}:${String(lies.partition)}:${lies.offset}`,
  });
  expect(CHECKERS.isolation(unread)).toEqual([]);

  const rescued = goodEvidence();
  const line = attemptNo(rescued, 505);
  rescued.ledger.history = null;
  line.settledMs = null;
  attemptNo(rescued, 506).supersedes = line.no;
  expect(CHECKERS.no_line_twice(rescued)).toEqual([]);

  const hurried = goodEvidence();
  jobNo(hurried, 201).executionNo = 201;
  hurried.ledger.executions.push({ ...executionNo(hurried, 200), no: 201, lane: 1, attempts: 0 });
  expect(CHECKERS.dedupe(hurried)).toEqual([]);

  const alone = goodEvidence();
  jobNo(alone, 201).executionNo = 201;
  first(alone.published, ({ jobId }) => jobId === "joined").shared = false;
  alone.ledger.executions.push({ ...executionNo(alone, 200), no: 201, attempts: 0 });
  expect(CHECKERS.dedupe(alone)).toEqual([]);

  // A replay is served by what came when its execution had failed.
  const late = goodEvidence();
  jobNo(late, 206).executionNo = 203;
  executionNo(late, 203).cacheable = true;
  expect(CHECKERS.dedupe(late)).toEqual([]);
  executionNo(late, 203).cacheable = null;
  expect(CHECKERS.dedupe(late).map(({ rule }) => rule)).toEqual(["other_end"]);

  const disturbed = goodEvidence();
  const look = first(disturbed.samples.offsets, ({ logEnd }) => logEnd === "12");
  disturbed.samples.offsets.splice(2, 0, { ...look, atMs: look.atMs + 70_000 });
  disturbed.faults.push({ ...first(disturbed.faults), atMs: look.atMs + 1_000, untilMs: look.atMs + 2_000 });
  expect(CHECKERS.liveness(disturbed)).toEqual([]);

  const open = goodEvidence();
  open.run.reconciled = false;
  drop(open.topics.costs, ({ costId }) => costId === "adjustment 505");
  drop(open.ledger.costs, ({ kind }) => kind === "adjustment");
  expect(CHECKERS.money(open)).toEqual([]);
  drop(open.bill, ({ attempt }) => attempt === idOf(505));
  expect(CHECKERS.money(open)).toEqual([]);
});

test("a violation names the job, and the figures count what a reader of the last line asks for", () => {
  const evidence = goodEvidence();
  drop(evidence.topics.results, ({ jobId }) => jobId === "line");
  evidence.bill.push({ ...billOf(evidence, 502), line: 2 });
  first(evidence.samples.budgets).settledNanoUsd = 8_040n;
  const { violations, figures, byChecker } = checkAll(evidence);
  expect(violations).toContainEqual(
    expect.objectContaining({ checker: "one_result", rule: "lost", tenant: "acme", jobId: "line" }),
  );
  expect(figures).toMatchObject({ lost: 1, submittedTwice: 1, ledgerEqualsBill: false, budgetOverrunNanoUsd: 40n });
  expect(byChecker.no_line_twice).toBe(1);
});

test("every rule of every checker is planted", async () => {
  const folder = new URL("../../src/chaos/checkers/", import.meta.url);
  const files = (await readdir(folder)).filter((file) => file.startsWith("check-") && file !== "check-all.ts");
  const texts = await Promise.all(files.map((file) => readFile(new URL(file, folder), "utf8")));
  const raised = texts.flatMap((text) => [...text.matchAll(/found\.add\(([^,]+),/g)].map((match) => match[1] ?? ""));
  const rules = new Set(raised.flatMap((text) => [...text.matchAll(/"([a-z_]+)"/g)].map((match) => match[1] ?? "")));
  const planted = new Set([...Object.values(PLANTED).flat(), ...SEEN_BY_SEVERAL].map(({ rule }) => rule));
  expect(rules.size).toBeGreaterThan(80);
  expect([...rules].filter((rule) => !planted.has(rule))).toEqual([]);
});
