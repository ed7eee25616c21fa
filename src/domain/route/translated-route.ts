import { translateRequest } from "../format/translate.js";
import type { RequestFormat } from "../job/job.js";
import { modelAsks } from "./model-asks.js";
import { reasonOfBody, type AskedModel } from "./reason-of-body.js";
import type { RequestFacts } from "./request-facts.js";
import { topLevelMembers } from "./top-level-members.js";

/** What decides whether a request can be told in another format. */
interface Translation {
  /** The format of the provider. */
  readonly spoken: RequestFormat;
  readonly model: AskedModel;
}

/** The dry runs of one request, by the format that it was told in: candidates of one format share one. */
export type DryRuns = Map<RequestFormat, ReturnType<typeof translateRequest>>;

/** Why the request can't be served in the format that is spoken there, in words; null when it can. */
export function reasonOfTranslation(to: Translation, facts: RequestFacts, dryRuns: DryRuns): string | null {
  let told = dryRuns.get(to.spoken);
  if (told === undefined) {
    told = translateRequest(facts.format, to.spoken, facts.bodyText);
    dryRuns.set(to.spoken, told);
  }
  if (told.kind === "not_carried") return told.reasons.join("; ");
  const asks = modelAsks(to.spoken, told.bodyText, topLevelMembers(told.bodyText) ?? []);
  return reasonOfBody(to.model, told.bodyText, asks);
}
