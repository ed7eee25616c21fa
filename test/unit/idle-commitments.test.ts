import { expect, test } from "@jest/globals";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { idleCommitments } from "../../src/app/idle-commitments.js";
import { parseConfig } from "../../src/config/parse.js";

const CONFIG = `
environment: test
kafka: { brokers: ['a:1'] }
postgres: { url: 'postgres://h/d' }
auth: { tenantFrom: body }
tenants: { acme: {} }
providers:
  compared: { kind: openai, apiKey: '\${K}', committed: { usdPerMonth: "10" } }
  listed: { kind: openai, apiKey: '\${K}', committed: { usdPerMonth: "10" } }
  alone: { kind: openai, apiKey: '\${K}', committed: { usdPerMonth: "10" } }
  without: { kind: openai, apiKey: '\${K}' }
models:
  best: { order: score, candidates: [{ provider: compared, model: gpt-4.1 }, { provider: without, model: gpt-4.1 }] }
  first: { candidates: [{ provider: listed, model: gpt-4.1 }, { provider: compared, model: gpt-4.1 }] }
  only: { order: score, candidates: [{ provider: alone, model: gpt-4.1 }] }
`;

test("a commitment that no score goes by is named", () => {
  const noFiles = (): string => {
    throw new Error("no files here");
  };
  const outcome = parseConfig(CONFIG, { K: "key" }, noFiles, PROVIDER_KINDS);
  expect(outcome.ok ? idleCommitments(outcome.config) : outcome.problems).toEqual(
    ["listed", "alone"].map(
      (name) =>
        `providers.${name}.committed is counted, and decides nothing: no model with order: score has ${name} among others`,
    ),
  );
});
