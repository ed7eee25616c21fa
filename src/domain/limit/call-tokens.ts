import { estimatePromptTokens } from "../batch/estimate-tokens.js";
import { outputTokensBound, type RequestFacts } from "../route/request-facts.js";
import type { Route } from "../route/route.js";

/** What a call counts against a limit of tokens before it is made: its prompt as estimated, and the longest answer. */
export function callTokens(route: Route, facts: RequestFacts): number {
  return estimatePromptTokens(facts, route.unseen.imageTokensMax) + outputTokensBound(facts, route.maxOutputTokens);
}
