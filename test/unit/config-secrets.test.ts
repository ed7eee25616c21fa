import { describe, expect, test } from "@jest/globals";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parseConfig } from "../../src/config/parse.js";
import { masked, secretProblem } from "../../src/config/secrets.js";

const noFiles = (): string => {
  throw new Error("no files here");
};

describe("secrets in the file", () => {
  const refused: readonly (readonly [path: readonly (string | number)[], written: string])[] = [
    [["providers", "o", "apiKey"], "sk-abc"],
    [["providers", "o", "apiKey"], "sk-${K}"],
    [["providers", "o", "apiKey", 1], "sk-abc"],
    [["kafka", "sasl", "password"], "hunter2"],
    [["registry", "password"], "hunter2"],
    [["postgres", "url"], "postgres://u:hunter2@h/d"],
    [["postgres", "url"], "postgres://u@h/d?password=hunter2"],
    [["redis", "url"], "redis://:hunter2@h:6379"],
    [["registry", "url"], "https://u:hunter2@h/"],
  ];
  test.each(refused)("at %j, %s is refused", (path, written) => {
    expect(secretProblem(path, written)).toContain("must not stand in the file");
  });

  const allowed: readonly (readonly [path: readonly (string | number)[], written: string])[] = [
    [["providers", "o", "apiKey"], "${K}"],
    [["providers", "o", "apiKey", 0], "${file:/run/secrets/k}"],
    [["postgres", "url"], "${DATABASE_URL}"],
    [["postgres", "url"], "postgres://u:${PASSWORD}@h/d"],
    [["postgres", "url"], "postgres://u@h/d?password=${PASSWORD}"],
    [["postgres", "url"], "postgres://h/d"],
    [["registry", "username"], "someone"],
  ];
  test.each(allowed)("at %j, %s is allowed", (path, written) => {
    expect(secretProblem(path, written)).toBeNull();
  });
});

describe("a config shown to people", () => {
  test("holds no secret, wherever it came from", () => {
    const text = `
environment: test
kafka: { brokers: ['a:1'], sasl: { mechanism: plain, username: me, password: '\${S1}' } }
postgres: { url: '\${S2}' }
redis: { url: 'redis://:\${S3}@h:1' }
registry: { url: 'https://h/?token=\${S4}', password: '\${S5}' }
auth: { tenantFrom: body }
tenants: {}
providers: { o: { kind: openai, apiKey: ['\${S6}'] } }
`;
    const env = Object.fromEntries(["S1", "S3", "S4", "S5", "S6"].map((name) => [name, `tell-nobody-${name}`]));
    const outcome = parseConfig(text, { ...env, S2: "postgres://u:tell-nobody-S2@h/d" }, noFiles, PROVIDER_KINDS);
    expect(outcome.ok).toBe(true);
    const shown = JSON.stringify(outcome.ok ? masked(outcome.config) : null);
    expect(shown).not.toContain("tell-nobody");
    expect(shown).toContain('"url":"postgres://u:***@h/d"');
    expect(shown).toContain('"apiKey":"***"');
    expect(shown).toContain('"retryMaxNanoUsd":"50000000"');
  });
});
