import { estimatePromptTokens } from "../batch/estimate-tokens.js";
import { outputTokensBound, type RequestFacts } from "../route/request-facts.js";
import type { Route } from "../route/route.js";
import type { CountPrompt } from "../route/score-routes.js";

const byBytes: CountPrompt = (facts, { unseen }) => estimatePromptTokens(facts, unseen.imageTokensMax);

/** What a call counts against a limit of tokens before it is made: its prompt as estimated, and the longest answer. */
export function callTokens(route: Route, facts: RequestFacts, countPrompt: CountPrompt = byBytes): number {
  return countPrompt(facts, route) + outputTokensBound(facts, route.maxOutputTokens);
}
