import { translateAnswer, translateRequest } from "../../domain/format/translate.js";
import { spokenFormat } from "../../domain/route/format-family.js";
import type { RequestFormat } from "../../domain/job/job.js";
import type { ProviderAnswer, ProviderCall, ProviderFailure, ProviderNotSent } from "../../ports/provider.js";
import type { WireCall, WireFormat } from "./wire-format.js";

type Outcome = ProviderAnswer | ProviderFailure | ProviderNotSent;

/**
 * A job in a format that the provider doesn't speak: its request is told in one that it does, and the answer in the job's own. Routes
 * were planned with the same translation, so that a request which can't be carried is a rare sight here: the config changed meanwhile.
 */
export async function translatedCall(
  wire: WireFormat,
  call: ProviderCall,
  post: (own: WireCall, spoken: ProviderCall) => Promise<Outcome>,
): Promise<Outcome> {
  const spoken = spokenFormat(call.format, Object.keys(wire.calls) as RequestFormat[]); // the keys' type
  const own = spoken === null ? undefined : wire.calls[spoken];
  if (spoken === null || own === undefined) return unsent(wire, `${call.format} is not spoken`);
  const request = translateRequest(call.format, spoken, call.bodyText);
  if (request.kind === "not_carried") return unsent(wire, request.reasons.join("; "));
  const outcome = await post(own, { ...call, format: spoken, bodyText: request.bodyText });
  return outcome.kind === "answered" ? inFormatOfJob(outcome, spoken, call) : outcome;
}

/** It was billed whether the job's format can say it or not. */
function inFormatOfJob(answer: ProviderAnswer, spoken: RequestFormat, asked: ProviderCall): ProviderAnswer {
  const told = translateAnswer(spoken, asked.format, answer.bodyText, asked.bodyText);
  return told.kind === "carried"
    ? { ...answer, bodyText: told.bodyText }
    : { ...answer, unfit: told.reasons.join("; ") };
}

/** A request that can't be made: nothing was sent. */
export function unsent(wire: WireFormat, because: string): ProviderFailure {
  return {
    kind: "failed",
    outcome: "refused",
    sent: "no",
    message: `${wire.label}: ${because}, nothing was sent`,
    retryAfterMs: null,
    provider: { status: null, code: null, requestId: null },
  };
}
