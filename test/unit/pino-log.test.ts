import { describe, expect, test } from "@jest/globals";
import { logTo } from "../../src/adapters/system/pino-log.js";
import type { Log } from "../../src/ports/system.js";

function logged(write: (log: Log) => void, level?: string): readonly Readonly<Record<string, unknown>>[] {
  const lines: string[] = [];
  write(logTo({ write: (line) => lines.push(line) }, level));
  return lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

const fieldsOf = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> | undefined =>
  logged((log) => {
    log.info("x", fields);
  })[0];

describe("a log line", () => {
  test("is one JSON object with time, level and event", () => {
    const [line] = logged((log) => {
      log.warn("consumer restarted", { topic: "jobs", attempts: 3 });
    });
    expect(line).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      level: "warn",
      event: "consumer restarted",
      topic: "jobs",
      attempts: 3,
    });
  });

  test.each([
    [undefined, ["info", "warn", "error"]],
    ["debug", ["debug", "info", "warn", "error"]],
    ["ERROR", ["error"]],
    ["silent", []],
    ["loud", ["info", "warn", "error"]],
  ])("is written at level %s for %j", (level, expected: readonly string[]) => {
    const lines = logged((log) => {
      log.debug("d");
      log.info("i");
      log.warn("w");
      log.error("e");
    }, level);
    expect(lines.map((line) => line["level"])).toEqual(expected);
  });

  test.each([
    "apiKey",
    "x-api-key",
    "Authorization",
    "password",
    "body",
    "bodyText",
    "body_json",
    "messages",
    "prompt",
    "value",
  ])("hides %s", (name) => {
    expect(fieldsOf({ deep: [{ [name]: "tell nobody" }] })).toMatchObject({ deep: [{ [name]: "[hidden]" }] });
  });

  test("keeps a hidden name that holds nothing, since that says something", () => {
    expect(fieldsOf({ apiKey: null })).toMatchObject({ apiKey: null });
  });

  test.each([
    ["connect to postgres://u:tell-nobody@h/d failed", "connect to postgres://u:***@h/d failed"],
    ["header Authorization: Bearer tell-nobody-this", "header Authorization: Bearer ***"],
    ["the key sk-tellnobody123 was refused", "the key sk-*** was refused"],
  ])("takes the secret out of a message: %s", (message, safe) => {
    expect(fieldsOf({ message })).toMatchObject({ message: safe });
    expect(fieldsOf({ error: new Error(message) })).toMatchObject({ error: { name: "Error", message: safe } });
  });

  test("writes amounts, bytes, dates and errors with their causes", () => {
    const cause = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    expect(
      fieldsOf({ nanoUsd: 38_000n, key: Buffer.from("abc"), at: new Date(0), error: new Error("no", { cause }) }),
    ).toMatchObject({
      nanoUsd: "38000",
      key: "3 bytes",
      at: "1970-01-01T00:00:00.000Z",
      error: { message: "no", cause: { message: "refused", code: "ECONNREFUSED" } },
    });
  });

  test("stays short and ends, whatever it is given", () => {
    const loop: Record<string, unknown> = {
      text: "x".repeat(100_000),
      list: Array.from({ length: 10_000 }, (_, index) => index),
    };
    loop["self"] = loop;
    expect(JSON.stringify(fieldsOf(loop)).length).toBeLessThan(20_000);
  });
});
