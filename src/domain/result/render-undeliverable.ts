import type { DeadLetterRow, Outgoing, Undeliverable } from "./outgoing.js";
import { deadLetterOutgoing, OMITTED_BYTES_HEADER } from "./render-refused.js";
import type { RenderSettings } from "./rendering.js";

/** What a record is called where people read of it. */
const KIND_WORDS = {
  result: "result",
  repeat: "repeated result",
  cost: "cost record",
  dead_letter: "dead letter",
  event: "event",
} as const satisfies Record<Outgoing["kind"], string>;

/** The job's own record as a dead letter: what was refused is in the ledger, and was perhaps refused for its length. */
export function renderUndeliverable(settings: RenderSettings, input: Undeliverable): DeadLetterRow {
  const { refused } = input;
  const bytes = String(refused.value?.length ?? 0);
  const code = "REPLY_UNDELIVERABLE";
  const message = `topic ${refused.topic} does not take the ${KIND_WORDS[refused.kind]} of ${bytes} bytes: ${input.reason}`;
  return {
    code,
    message,
    outgoing: deadLetterOutgoing(settings, {
      no: input.no,
      day: input.day,
      source: input.source,
      key: input.key,
      value: input.record.value,
      headersText: input.record.headersText,
      code,
      message,
      stage: "relay",
      attempts: input.attempts,
      replayCount: input.generation + input.redeliveries,
    }),
  };
}

/** Our own error headers stand behind the original ones; the first of them has this name. */
const FIRST_ERROR_HEADER = "__dlq.errors.topic";

export function renderShortened(letter: Outgoing, no: number, day: number): Outgoing | null {
  const { headers, value } = letter;
  if (headers.at(-1)?.[0] === OMITTED_BYTES_HEADER) return null;
  const ours = headers.slice(headers.findLastIndex(([name]) => name === FIRST_ERROR_HEADER));
  return {
    ...letter,
    no,
    day,
    headers: [...ours, [OMITTED_BYTES_HEADER, String(value?.length ?? 0)]],
    value: null,
  };
}
