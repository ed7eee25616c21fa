import { connect } from "node:net";
import { describe, expect, test } from "@jest/globals";
import {
  CHAT,
  OPENAI_HEADERS,
  billText,
  chat,
  control,
  messages,
  restart,
  rows,
  send,
  sha,
  simulator,
  simulatorForEachTest,
  until,
} from "../support/simulator-harness.js";

simulatorForEachTest();

describe("the bill", () => {
  test("has one row for each answered call, with the caller's attempt id and never the key", async () => {
    const first = await chat({ messages: [{ role: "user", content: "Hi" }] }, { "x-client-request-id": "attempt-1" });
    await messages();
    // "Hi" digests to 3639efcd…: below 64, so half of its 7 tokens is cached: 4 x 400 + 3 x 100 + output x 1,600.
    const output = first.json.usage.completion_tokens as number;
    expect(rows()).toHaveLength(2);
    expect(rows()[0]).toEqual({
      requestId: first.headers["x-request-id"],
      attempt: "attempt-1",
      key: `key-${sha("sk-test").slice(0, 12)}`,
      provider: "openai",
      model: "gpt-4.1-mini",
      modelVersion: "gpt-4.1-mini-2025-04-14",
      mode: "direct",
      inputTokens: 7,
      cachedInputTokens: 3,
      cacheWriteTokens: 0,
      outputTokens: output,
      nanoUsd: String(4 * 400 + 3 * 100 + output * 1600),
      at: expect.stringMatching(/^20\d\d-.*Z$/),
    });
    expect(rows()[1]).toMatchObject({
      attempt: null,
      provider: "anthropic",
      modelVersion: "claude-haiku-4-5-20251001",
    });
    expect(billText()).not.toContain("sk-");
  });

  test("is served as it is in the file, and empty when there is none yet", async () => {
    expect((await control("/simulator/bill")).text).toBe("");
    await chat();
    const served = await control("/simulator/bill");
    expect(served.text).toBe(billText());
    expect(served.text.split("\n")).toHaveLength(2);
  });

  test("goes on after a restart, in rows, calls and money", async () => {
    await chat();
    const before = simulator.stats();
    await restart({});
    expect(simulator.stats()).toMatchObject({ calls: 1, requests: 0, billedNanoUsd: before.billedNanoUsd });
    await chat();
    expect(rows()).toHaveLength(2);
    expect(simulator.stats()).toMatchObject({ calls: 2, billedNanoUsd: String(2n * BigInt(before.billedNanoUsd)) });
  });

  test("prices a self-hosted model as told, and bills a free one with 0", async () => {
    await restart({ models: { "llama-3.1-8b": { inputPerMTok: "0", outputPerMTok: "0" } } });
    const { json } = await chat({ model: "llama-3.1-8b" });
    expect(json.model).toBe("llama-3.1-8b");
    expect(rows()[0]).toMatchObject({ model: "llama-3.1-8b", cachedInputTokens: 0, nanoUsd: "0" });
  });
});

describe("what is in the air", () => {
  test("counts a call as open until it is answered, and then as recent", async () => {
    await restart({ latencyMs: 150 });
    const pending = chat({}, { "x-client-request-id": "slow" });
    await until(async () => (await control("/simulator/stats")).json.open === 1);
    expect((await control("/simulator/stats")).json).toMatchObject({ calls: 0, openAttempts: ["slow"] });
    await pending;
    await until(() => Promise.resolve(simulator.stats().open === 0));
    expect((await control("/simulator/recent?ms=5000")).json).toEqual({
      count: 1,
      attempts: ["slow"],
      complete: true,
      open: 0,
      openAttempts: [],
    });
    expect((await control("/simulator/recent?ms=0")).json.count).toBe(0);
  });

  test("counts a call whose request has come in only in part", async () => {
    const url = new URL(simulator.url);
    const socket = connect(Number(url.port), url.hostname);
    socket.write(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-client-request-id: half\r\ncontent-length: 100\r\n\r\n{",
    );
    await until(() => Promise.resolve(simulator.stats().open === 1));
    expect(simulator.stats().openAttempts).toEqual(["half"]);
    socket.destroy();
    await until(() => Promise.resolve(simulator.stats().open === 0));
    expect(rows()).toEqual([]);
  });

  test("bills a call whose caller went away while it was worked on", async () => {
    await restart({ latencyMs: 100 });
    await expect(
      fetch(`${simulator.url}/v1/chat/completions`, {
        method: "POST",
        headers: OPENAI_HEADERS,
        body: JSON.stringify(CHAT),
        signal: AbortSignal.timeout(40),
      }),
    ).rejects.toThrow();
    await until(() => Promise.resolve(simulator.stats().calls === 1));
    expect(rows()).toHaveLength(1);
    expect(simulator.stats().open).toBe(0);
  });

  test("leaves unbilled what is still being worked on for nobody when it closes", async () => {
    await restart({ latencyMs: 200 });
    await expect(
      fetch(`${simulator.url}/v1/chat/completions`, {
        method: "POST",
        headers: OPENAI_HEADERS,
        body: JSON.stringify(CHAT),
        signal: AbortSignal.timeout(50),
      }),
    ).rejects.toThrow();
    await simulator.close();
    await until(() => Promise.resolve(simulator.stats().open === 0));
    expect(rows()).toEqual([]);
  });

  test("takes as long as told, the same for the same prompt", async () => {
    expect((await control("/simulator/latency", "POST", { ms: 60, jitterMs: 30 })).json).toEqual({
      ms: 60,
      jitterMs: 30,
    });
    const wanted = 30 + ((Number.parseInt(sha("Be short.\nHi").slice(10, 18), 16) + 1) % 61);
    const started = performance.now();
    await chat();
    const tookMs = performance.now() - started;
    expect(tookMs).toBeGreaterThanOrEqual(wanted - 2);
    expect(simulator.stats().latency).toEqual({ ms: 60, jitterMs: 30 });
  });

  test.each([
    ["POST", "/simulator/latency", { ms: -1 }],
    ["POST", "/simulator/latency", { ms: 5, jitterMs: 6 }],
    ["POST", "/simulator/faults", [{ fault: { kind: "earthquake" } }]],
    ["POST", "/simulator/faults", [{ match: { rate: 2 }, fault: { kind: "hang" } }]],
    ["GET", "/simulator/recent?ms=soon", undefined],
  ])("refuses the wrong setting %s %s %j", async (method, path, body) => {
    const answer = await control(path, method, body);
    expect(answer.status).toBe(400);
    expect(answer.json.error).toMatch(/expected/);
  });

  test("has no look-up of an answer", async () => {
    const { json } = await chat();
    expect((await send(`/v1/chat/completions/${json.id}`, OPENAI_HEADERS, null, "GET")).status).toBe(404);
    expect((await control("/simulator/answers")).status).toBe(404);
  });
});
