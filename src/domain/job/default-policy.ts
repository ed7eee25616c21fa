import type { ExpectedAnswer, RoutePolicy } from "./job.js";

/** What every job expects of its answer that says nothing of it. */
export const EXPECT_DEFAULT: ExpectedAnswer = { jsonSchema: false, notEmpty: true, complete: false };

/** What a job asks of its route that names a model and nothing more. */
export function defaultPolicy(model: string): RoutePolicy {
  return {
    model,
    chain: "standard",
    providers: null,
    capabilities: [],
    selfHostedOnly: false,
    regions: null,
    expect: EXPECT_DEFAULT,
    onDoubt: null,
  };
}
