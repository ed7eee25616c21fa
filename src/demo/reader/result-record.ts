import { asObject, moneyField, numberField, parseObject, textField, timeField } from "./json-fields.js";
import type { JsonObject } from "./json-fields.js";
import type { TopicRecord } from "./topic-record.js";

/** What the reader needs of a result, beside the record that carried it. */
export interface ResultRecord {
  readonly record: TopicRecord;
  readonly resultId: string;
  readonly jobId: string;
  readonly tenant: string;
  readonly generation: number;
  readonly status: string;
  readonly format: string | null;
  readonly served: string | null;
  readonly mode: string | null;
  readonly batchId: string | null;
  readonly errorCode: string | null;
  /** All texts of the answer, joined; null without an answer. */
  readonly answerText: string | null;
  readonly costId: string | null;
  readonly costNanoUsd: bigint | null;
  readonly listNanoUsd: bigint | null;
  readonly requestHash: string | null;
  readonly executionId: string | null;
  readonly attempts: readonly ResultAttempt[];
  readonly acceptedAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly deadlineMs: number | null;
}

/** One try as a result lists it. */
export interface ResultAttempt {
  readonly number: number | null;
  readonly attemptId: string | null;
  readonly mode: string | null;
  readonly outcome: string | null;
  readonly startedAtMs: number | null;
  readonly costId: string | null;
}

/** Null when the value is not JSON or lacks what every result has. */
export function parseResult(record: TopicRecord): ResultRecord | null {
  const value = record.value === null ? null : parseObject(record.value.toString("utf8"));
  if (value === null) return null;
  const resultId = textField(value, "resultId");
  const jobId = textField(value, "jobId");
  const tenant = textField(value, "tenant");
  const generation = numberField(value, "generation");
  const status = textField(value, "status");
  if (resultId === null || jobId === null || tenant === null || generation === null || status === null) return null;
  const error = asObject(value["error"]);
  const cost = asObject(value["cost"]);
  const times = asObject(value["times"]) ?? {};
  return {
    record,
    resultId,
    jobId,
    tenant,
    generation,
    status,
    format: textField(value, "format"),
    served: textField(value, "served"),
    mode: textField(value, "mode"),
    batchId: textField(value, "batchId"),
    errorCode: error === null ? null : textField(error, "code"),
    answerText: answerText(asObject(value["body"])),
    costId: cost === null ? null : textField(cost, "costId"),
    costNanoUsd: cost === null ? null : moneyField(cost, "nanoUsd"),
    listNanoUsd: cost === null ? null : moneyField(cost, "listNanoUsd"),
    requestHash: textField(value, "requestHash"),
    executionId: textField(value, "executionId"),
    attempts: attemptsOf(value["attempts"]),
    acceptedAtMs: timeField(times, "acceptedAt"),
    finishedAtMs: timeField(times, "finishedAt"),
    deadlineMs: timeField(times, "deadline"),
  };
}

function attemptsOf(value: unknown): readonly ResultAttempt[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item) => {
    const attempt = asObject(item);
    if (attempt === null) return [];
    return [
      {
        number: numberField(attempt, "number"),
        attemptId: textField(attempt, "attemptId"),
        mode: textField(attempt, "mode"),
        outcome: textField(attempt, "outcome"),
        startedAtMs: timeField(attempt, "startedAt"),
        costId: textField(attempt, "costId"),
      },
    ];
  });
}

/** The text of an answer in the shape of OpenAI's chat completions or of Anthropic's messages. */
function answerText(body: JsonObject | null): string | null {
  if (body === null) return null;
  const parts: unknown[] = [];
  const choices = body["choices"];
  if (Array.isArray(choices))
    for (const choice of choices) parts.push(asObject(asObject(choice)?.["message"])?.["content"]);
  const content = body["content"];
  if (Array.isArray(content)) for (const block of content) parts.push(asObject(block)?.["text"]);
  const texts = parts.filter((part) => typeof part === "string");
  return texts.length === 0 ? null : texts.join("\n");
}
