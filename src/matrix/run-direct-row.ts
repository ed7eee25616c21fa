import { chargeBy } from "../domain/cost/billing-rule.js";
import { answeredBy, type Account } from "../domain/route/catalog.js";
import { accountPriceOf } from "../domain/cost/account-price.js";
import type { PriceTable } from "../domain/cost/price-table.js";
import type { Provider, ProviderAnswer, ProviderFailure, ProviderNotSent } from "../ports/provider.js";
import { promptDigest, readAnswer } from "./answer-reading.js";
import type { AnsweredExpectation, DirectRow, FailedExpectation } from "./matrix-row.js";
import type { Simulated } from "./simulated.js";

const TIMEOUT_MS = 10_000;
const OUTPUT_TOKENS_DEFAULT = 200;
/** Dates have whole seconds only. */
const DATE_SLACK_MS = 1_100;

export interface DirectParts {
  readonly account: Account;
  readonly provider: Provider;
  readonly simulated: Simulated;
  readonly prices: PriceTable;
}

/** Makes the row's call and compares what came with what is expected, and the bill with what the ledger would book. */
export async function runDirectRow(parts: DirectParts, row: DirectRow, attemptId: string): Promise<readonly string[]> {
  await parts.simulated.setFaults(row.faults);
  const before = await parts.simulated.faultsFired();
  const reply = await parts.provider.call(
    {
      attemptId,
      format: row.format,
      model: row.model,
      bodyText: JSON.stringify(row.body),
      maxOutputTokensDefault: OUTPUT_TOKENS_DEFAULT,
      timeoutMs: row.timeoutMs ?? TIMEOUT_MS,
      sendWithinMs: TIMEOUT_MS,
      maySend: () => true,
    },
    new AbortController().signal,
  );
  const problems = [...unfired(row, before, await parts.simulated.faultsFired())];
  if (row.expected.kind === "failed") problems.push(...compareFailure(row.expected, reply));
  else problems.push(...compareAnswer(row, row.expected, reply));
  return [...problems, ...(await compareBill(parts, row, reply, attemptId))];
}

/** A fault that did not strike proves nothing. */
function unfired(
  row: DirectRow,
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): string[] {
  return row.faults
    .filter(({ fault }) => (after[fault.kind] ?? 0) === (before[fault.kind] ?? 0))
    .map(({ fault }) => `the fault ${fault.kind} did not strike`);
}

type Reply = ProviderAnswer | ProviderFailure | ProviderNotSent;

function compareFailure(expected: FailedExpectation, reply: Reply): string[] {
  if (reply.kind !== "failed") return [`expected ${expected.outcome}, found ${reply.kind}`];
  const problems: string[] = [];
  if (reply.outcome !== expected.outcome) problems.push(`expected ${expected.outcome}, found ${reply.outcome}`);
  if (expected.sent !== undefined && reply.sent !== expected.sent)
    problems.push(`expected sent ${expected.sent}, found ${reply.sent}`);
  if (expected.retryAfterMs !== undefined && !isNear(expected.retryAfterMs, reply.retryAfterMs))
    problems.push(`expected a wait of ${String(expected.retryAfterMs)} ms, found ${String(reply.retryAfterMs)}`);
  return problems;
}

function isNear(expected: number | null, found: number | null): boolean {
  return expected === null || found === null ? expected === found : Math.abs(expected - found) <= DATE_SLACK_MS;
}

function compareAnswer(row: DirectRow, expected: AnsweredExpectation, reply: Reply): string[] {
  if (reply.kind !== "answered")
    return [`expected an answer, found ${reply.kind === "failed" ? reply.outcome : reply.kind}: ${reply.message}`];
  const problems: string[] = [];
  if (reply.unfit !== undefined) problems.push(`the answer can't be told in ${row.format}: ${reply.unfit}`);
  if (expected.finishReason !== undefined && reply.finishReason !== expected.finishReason)
    problems.push(`expected finish reason ${expected.finishReason}, found ${reply.finishReason}`);
  if (expected.suspect !== undefined && reply.usageSuspect !== expected.suspect)
    problems.push(`expected usage ${expected.suspect ? "" : "not "}to be suspect`);
  if (expected.empty !== undefined && reply.empty !== expected.empty)
    problems.push(`expected the answer ${expected.empty ? "" : "not "}to be empty`);
  if (expected.requestId === true && reply.requestId === null) problems.push("the provider's request id is lost");
  return [...problems, ...compareContent(row, expected, reply.bodyText)];
}

function compareContent(row: DirectRow, expected: AnsweredExpectation, bodyText: string): string[] {
  const said = readAnswer(row.format, bodyText);
  const problems: string[] = [];
  if (expected.promptTexts !== undefined && !said.text.includes(`digest=${promptDigest(expected.promptTexts)}`))
    problems.push("the prompt's texts did not reach the provider as they were");
  if (expected.tool !== undefined) {
    const [call] = said.tools;
    if (call?.name !== expected.tool.name) problems.push(`expected a call of ${expected.tool.name}`);
    else problems.push(...membersMissing(call.given, expected.tool.members));
  }
  if (expected.json !== undefined) problems.push(...membersMissing(parsed(said.text), expected.json));
  if (expected.vectors !== undefined) {
    const found = said.vectors.map((vector) => vector.filter((value) => typeof value === "number").length);
    const wanted = Array.from({ length: expected.vectors.count }, () => expected.vectors?.dimensions);
    if (found.join() !== wanted.join()) problems.push(`expected vectors of ${wanted.join()}, found ${found.join()}`);
  }
  return problems;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function membersMissing(value: unknown, members: Readonly<Record<string, string>>): string[] {
  const given = typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {}; // checked
  return Object.entries(members)
    .filter(([name, type]) => typeof given[name] !== type)
    .map(([name, type]) => `expected ${name} to be a ${type}`);
}

async function compareBill(
  { account, simulated, prices }: DirectParts,
  row: DirectRow,
  reply: Reply,
  attemptId: string,
): Promise<string[]> {
  const bill = await simulated.billOf(new Set([attemptId]));
  if (bill.length !== row.billedRows)
    return [`expected ${String(row.billedRows)} rows of the bill, found ${String(bill.length)}`];
  const [billed] = bill;
  if (reply.kind !== "answered" || reply.usageSuspect || billed === undefined) return [];
  const direct = accountPriceOf(prices, account.facts.kind, row.model, account.prices);
  if (direct === null) return [`no price is known for ${row.model}`];
  const { price } = answeredBy(account, { model: row.model, price: direct }, reply.modelVersion, prices);
  if (price === null) return [`no price is known for ${String(reply.modelVersion)}`];
  const charge = chargeBy("by_usage", reply.usage, price);
  // Without token counts the cost stays open: nothing is booked that the bill could contradict.
  if (charge.kind !== "charged" || charge.nanoUsd.toString() === billed.nanoUsd) return [];
  return [`booked ${charge.nanoUsd.toString()} nano-dollars, billed ${billed.nanoUsd}`];
}
