import { translateRequest } from "../format/translate.js";
import type { RequestFormat } from "../job/job.js";
import type { SamplingFacts } from "./kind-facts.js";
import type { RequestFacts } from "./request-facts.js";
import { topLevelMembers } from "./top-level-members.js";

/** What decides whether a request can be told in another format. */
interface Translation {
  /** The format of the provider. */
  readonly spoken: RequestFormat;
  readonly model: string;
  /** False: the model rejects temperature and the like. */
  readonly samplingParams: boolean;
  readonly sampling: SamplingFacts;
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
  if (to.samplingParams) return null;
  const refused = samplingIn(told.bodyText, to.sampling.neutralTaken);
  return refused.length === 0 ? null : `${to.model} takes no ${refused.join(", ")}`;
}

const SAMPLING_NAMES: ReadonlySet<string> = new Set(["temperature", "top_p", "top_k", "topP", "topK"]);
const CONFIG_NAME = "generationConfig";

/** The sampling parameters of a body that a model without them would refuse. */
function samplingIn(bodyText: string, neutralTaken: boolean): readonly string[] {
  return (topLevelMembers(bodyText) ?? []).flatMap(({ name, valueStart, end }) => {
    const value = bodyText.slice(valueStart, end);
    if (name === CONFIG_NAME) return samplingIn(value, neutralTaken);
    return SAMPLING_NAMES.has(name) && !(neutralTaken && Number(value) === 1) ? [name] : [];
  });
}
