import { bytesDigest } from "../../demo/reader/published-list.js";
import { headerText } from "../../demo/reader/topic-record.js";
import { RECORD_NUMBER_HEADER } from "./evidence.js";
import type { TopicRecord } from "./evidence.js";

export { headerText, placeOf } from "../../demo/reader/topic-record.js";

/** SHA-256 in hex of a value; of a null value, of no bytes. */
export function valueDigest(value: Buffer | null): string {
  return bytesDigest(value ?? Buffer.alloc(0));
}

/** The publisher's number that a record bears or has brought back. */
export function recordNumber(record: TopicRecord): number | null {
  return wholeNumber(headerText(record, RECORD_NUMBER_HEADER));
}

export function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Whether it is a result sent again for a newer record of its job. */
export function isResent(record: TopicRecord): boolean {
  return headerText(record, "llm-duplicate") === "true";
}
