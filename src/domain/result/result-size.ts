import type { Failure, ProviderError } from "../failure.js";

/**
 * Room in a result's value for all but the answer: some 1.5 KiB as a rule, more with many attempts and long labels. Set apart as a whole,
 * since one call's answer goes into the results of all jobs that share it.
 */
const RESULT_FRAME_BYTES = 16_384;

/**
 * Whether an answer is too long for a result. Asked before its execution ends: a result that no broker takes would come too late.
 * @param valueBytesMax of a result record, `results.valueBytesMax`.
 * @returns null when it fits.
 */
export function answerTooLarge(bodyText: string, valueBytesMax: number, provider: ProviderError): Failure | null {
  const answerBytesMax = valueBytesMax - RESULT_FRAME_BYTES;
  // UTF-8 takes at most three bytes for a UTF-16 unit, so most answers need no counting.
  if (bodyText.length * 3 <= answerBytesMax) return null;
  const bytes = Buffer.byteLength(bodyText, "utf8");
  if (bytes <= answerBytesMax) return null;
  return tooLarge(
    `the answer has ${String(bytes)} bytes; a result has room for ${String(answerBytesMax)} (results.valueBytesMax ${String(valueBytesMax)} less ${String(RESULT_FRAME_BYTES)} for its other fields)`,
    provider,
  );
}

/** An answer that was cut off by the account's cap, so its length is not known. */
export function answerCutOff(responseBytesMax: number, provider: ProviderError): Failure {
  return tooLarge(
    `the answer is longer than the account's responseBytesMax (${String(responseBytesMax)} bytes) and was cut off; it was very likely billed`,
    provider,
  );
}

function tooLarge(what: string, provider: ProviderError): Failure {
  return {
    code: "RESULT_TOO_LARGE",
    message: `${what}. Ask for a shorter answer, or raise the limit and the topic's max.message.bytes with it`,
    provider,
    retryAtMs: null,
  };
}
