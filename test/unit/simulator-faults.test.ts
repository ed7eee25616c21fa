import { describe, expect, test } from "@jest/globals";
import type { FaultRule } from "../../src/simulator/simulator.js";
import {
  CHAT,
  OPENAI_HEADERS,
  chat,
  control,
  messages,
  restart,
  rows,
  simulator,
  simulatorForEachTest,
  until,
} from "../support/simulator-harness.js";
import type { Answer } from "../support/simulator-harness.js";

simulatorForEachTest();

describe("a fault", () => {
  async function faults(rules: readonly FaultRule[]): Promise<void> {
    expect((await control("/simulator/faults", "POST", rules)).status).toBe(200);
  }

  async function outcome(call: Promise<Answer>): Promise<number | "cut"> {
    return call.then(
      (answer) => answer.status,
      () => "cut" as const,
    );
  }

  test("status answers with that status, headers and the provider's own error, unbilled", async () => {
    await faults([{ fault: { kind: "status", status: 429, headers: { "retry-after": "1" } } }]);
    const openai = await chat();
    expect(openai.headers["retry-after"]).toBe("1");
    expect(openai.json.error).toMatchObject({ type: "requests", code: "rate_limit_exceeded" });
    expect((await messages()).json.error.type).toBe("rate_limit_error");
    await faults([{ fault: { kind: "status", status: 529 } }]);
    expect((await messages()).json.error.type).toBe("overloaded_error");
    await faults([
      {
        fault: {
          kind: "status",
          status: 502,
          headers: { "content-type": "text/html" },
          body: "<html>bad gateway</html>",
        },
      },
    ]);
    expect((await chat()).text).toBe("<html>bad gateway</html>");
    expect(rows()).toEqual([]);
    expect(simulator.stats().faults).toEqual({ status: 4 });
  });

  test.each([
    { kind: "drop_before", billed: 0 },
    { kind: "drop_after_billed", billed: 1 },
    { kind: "truncate", billed: 1 },
  ] as const)("$kind cuts the connection with $billed billed", async ({ kind, billed }) => {
    await faults([{ fault: { kind } }]);
    expect(await outcome(chat({}, { "x-client-request-id": "lost" }))).toBe("cut");
    expect(rows().map((row) => row.attempt)).toEqual(billed === 1 ? ["lost"] : []);
    expect(simulator.stats().faults).toEqual({ [kind]: 1 });
    await until(() => Promise.resolve(simulator.stats().open === 0));
    expect((await control("/simulator/recent?ms=5000")).json.count).toBe(0);
  });

  test("trickle sends the billed answer slowly and whole", async () => {
    await faults([{ fault: { kind: "trickle", bytesPerS: 2000 } }]);
    const started = performance.now();
    const { status, text, json } = await chat();
    expect(status).toBe(200);
    expect(json.choices).toHaveLength(1);
    expect(performance.now() - started).toBeGreaterThan((text.length / 2000) * 1000 * 0.7);
    expect(rows()).toHaveLength(1);
  });

  test.each([false, true])("hang never answers (billed: %p) and is open until the caller gives up", async (billed) => {
    await faults([{ fault: { kind: "hang", billed } }]);
    const call = fetch(`${simulator.url}/v1/chat/completions`, {
      method: "POST",
      headers: OPENAI_HEADERS,
      body: JSON.stringify(CHAT),
      signal: AbortSignal.timeout(200),
    });
    await until(() => Promise.resolve(simulator.stats().faults["hang"] === 1 && simulator.stats().open === 1));
    await expect(call).rejects.toThrow();
    await until(() => Promise.resolve(simulator.stats().open === 0));
    expect(rows()).toHaveLength(billed ? 1 : 0);
  });

  test("html_200 and redirect are not billed", async () => {
    await faults([
      { match: { nth: 1 }, fault: { kind: "html_200" } },
      { fault: { kind: "redirect", location: "http://other.invalid/" } },
    ]);
    const page = await chat();
    expect(page.headers["content-type"]).toContain("text/html");
    const moved = await chat();
    expect({ status: moved.status, location: moved.headers["location"] }).toEqual({
      status: 307,
      location: "http://other.invalid/",
    });
    expect(rows()).toEqual([]);
    expect(simulator.stats().faults).toEqual({ html_200: 1, redirect: 1 });
  });

  test.each([
    ["missing", undefined, undefined],
    ["negative", expect.any(Number), expect.any(Number)],
    ["huge", 1e18, 1e18],
    ["not_a_number", "NaN", "NaN"],
  ] as const)("wrong_usage %s lies in the answer and not in the bill", async (how, openai, anthropic) => {
    await faults([{ fault: { kind: "wrong_usage", how } }]);
    const first = await chat();
    const second = await messages();
    expect(first.json.usage?.prompt_tokens).toEqual(openai);
    expect(second.json.usage?.input_tokens).toEqual(anthropic);
    if (how === "negative")
      expect([first.json.usage.completion_tokens < 0, second.json.usage.output_tokens < 0]).toEqual([true, true]);
    expect(rows().map((row) => row.outputTokens > 0 && row.inputTokens > 0)).toEqual([true, true]);
  });

  test("wrong_usage wrong_total breaks the sum", async () => {
    await faults([{ fault: { kind: "wrong_usage", how: "wrong_total" } }]);
    const { usage } = (await chat()).json;
    expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens + 17);
  });

  test("wrong_model answers and bills as the other model", async () => {
    await faults([{ fault: { kind: "wrong_model", model: "gpt-4o" } }]);
    const { json } = await chat({ messages: [{ role: "user", content: "Hi" }] });
    expect(json.model).toBe("gpt-4o-2024-08-06");
    const output = json.usage.completion_tokens as number;
    expect(rows()[0]).toMatchObject({
      model: "gpt-4.1-mini",
      modelVersion: "gpt-4o-2024-08-06",
      nanoUsd: String(4 * 2500 + 3 * 1250 + output * 10_000),
    });
  });

  test("empty_answer and refusal are billed answers without the text", async () => {
    await faults([{ fault: { kind: "empty_answer" } }]);
    expect((await chat()).json.choices[0].message.content).toBe("");
    expect((await messages()).json.content).toEqual([]);
    await faults([{ fault: { kind: "refusal" } }]);
    expect((await chat()).json.choices[0].message).toMatchObject({
      content: null,
      refusal: expect.stringContaining("digest="),
    });
    expect((await messages()).json).toMatchObject({
      stop_reason: "refusal",
      content: [],
      stop_details: { type: "refusal" },
    });
    expect(rows()).toHaveLength(4);
  });

  test("strikes only what it matches, as often as it may, first rule first", async () => {
    await faults([
      { match: { model: "gpt-4o" }, fault: { kind: "status", status: 500 } },
      { match: { path: "/v1/messages", nth: 2 }, fault: { kind: "status", status: 503 } },
      { match: { path: "/v1/chat/completions", count: 2 }, fault: { kind: "status", status: 429 } },
    ]);
    const statuses = [
      (await chat({ model: "gpt-4o" })).status,
      (await chat()).status,
      (await chat()).status,
      (await chat()).status,
      (await messages()).status,
      (await messages()).status,
      (await messages()).status,
    ];
    expect(statuses).toEqual([500, 429, 429, 200, 200, 503, 200]);
    expect(simulator.stats().faultRules.map(({ matched, fired }) => [matched, fired])).toEqual([
      [1, 1],
      [3, 1],
      [3, 2],
    ]);
    expect((await control("/simulator/faults", "DELETE")).json).toEqual({ rules: [] });
    expect((await chat()).status).toBe(200);
  });

  test("by rate strikes about that share, the same calls for the same seed", async () => {
    const strikes = async (): Promise<string> => {
      const statuses: string[] = [];
      // One after the other: which call is the nth must not depend on the network.
      for (let n = 0; n < 200; n += 1) statuses.push((await chat()).status === 500 ? "x" : ".");
      return statuses.join("");
    };
    await restart({ seed: 5, faults: [{ match: { rate: 0.2 }, fault: { kind: "status", status: 500 } }] });
    const first = await strikes();
    await restart({ seed: 5, faults: [{ match: { rate: 0.2 }, fault: { kind: "status", status: 500 } }] });
    expect(await strikes()).toBe(first);
    const share = [...first].filter((mark) => mark === "x").length / 200;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.3);
  });
});
