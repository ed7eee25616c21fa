/** The official clients are the judges of the wire: they talk to the simulator unmodified but for the base URL. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import OpenAI from "openai";
import { startSimulator } from "../../src/simulator/simulator.js";
import type { Fault, Simulator } from "../../src/simulator/simulator.js";

const folder = mkdtempSync(join(tmpdir(), "simulator-sdk-"));
let simulator: Simulator;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  const pricingFile = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));
  const keys = { "sk-right": "openai", "sk-ant-right": "anthropic" };
  simulator = await startSimulator({ billFile: join(folder, "bill.jsonl"), pricingFile, keys });
  openai = new OpenAI({ apiKey: "sk-right", baseURL: simulator.openaiBaseUrl, maxRetries: 0 });
  anthropic = new Anthropic({ apiKey: "sk-ant-right", baseURL: simulator.anthropicBaseUrl, maxRetries: 0 });
});

afterAll(async () => {
  await simulator.close();
  rmSync(folder, { recursive: true });
});

async function fault(rules: readonly { fault: Fault; match?: object }[]): Promise<void> {
  const response = await fetch(`${simulator.url}/simulator/faults`, { method: "POST", body: JSON.stringify(rules) });
  expect(response.status).toBe(200);
}

beforeEach(() => fault([]));

const chat = { model: "gpt-4.1-mini", messages: [{ role: "user", content: "Hi" }] } as const;
const messages = { model: "claude-haiku-4-5", max_tokens: 100, messages: [{ role: "user", content: "Hi" }] } as const;
/** sha256 of "Hi", first 32 hex characters. */
const HI = "3639efcd08abb273b1619e82e78c29a7";

// The SDKs' errors have different fields; the tests look into them freely.
async function failure(call: Promise<unknown>): Promise<any> {
  return call.then(
    () => {
      throw new Error("expected the call to fail");
    },
    (error: unknown) => error,
  );
}

describe("OpenAI's own client", () => {
  test("gets a completion with usage and its request id", async () => {
    const answer = await openai.chat.completions.create({ ...chat, messages: [...chat.messages] });
    expect(answer.choices[0]?.message.content).toContain(`digest=${HI}`);
    expect(answer.choices[0]?.finish_reason).toBe("stop");
    expect(answer.usage?.prompt_tokens).toBe(7);
    expect(answer.usage?.prompt_tokens_details?.cached_tokens).toBe(3);
    expect(answer._request_id).toMatch(/^req_[0-9a-f]{32}$/);
  });

  test.each([
    { status: 400, type: OpenAI.BadRequestError },
    { status: 401, type: OpenAI.AuthenticationError },
    { status: 403, type: OpenAI.PermissionDeniedError },
    { status: 404, type: OpenAI.NotFoundError },
    { status: 409, type: OpenAI.ConflictError },
    { status: 422, type: OpenAI.UnprocessableEntityError },
    { status: 429, type: OpenAI.RateLimitError },
    { status: 500, type: OpenAI.InternalServerError },
    { status: 503, type: OpenAI.InternalServerError },
  ])("raises its own error for $status", async ({ status, type }) => {
    await fault([{ fault: { kind: "status", status } }]);
    const error = await failure(openai.chat.completions.create({ ...chat, messages: [...chat.messages] }));
    expect(error).toBeInstanceOf(type);
    expect(error.status).toBe(status);
    expect(error.requestID).toMatch(/^req_/);
  });

  test("raises typed errors for a wrong key, an unknown model and a wrong field", async () => {
    const wrongKey = new OpenAI({ apiKey: "sk-wrong", baseURL: simulator.openaiBaseUrl, maxRetries: 0 });
    const unauthorised = await failure(wrongKey.chat.completions.create({ ...chat, messages: [...chat.messages] }));
    expect([unauthorised instanceof OpenAI.AuthenticationError, unauthorised.code]).toEqual([true, "invalid_api_key"]);
    const unknown = await failure(
      openai.chat.completions.create({ ...chat, messages: [...chat.messages], model: "gpt-9" }),
    );
    expect([unknown instanceof OpenAI.NotFoundError, unknown.code]).toEqual([true, "model_not_found"]);
    const bad = await failure(
      openai.chat.completions.create({ ...chat, messages: [...chat.messages], temperature: 3 }),
    );
    expect([bad instanceof OpenAI.BadRequestError, bad.param]).toEqual([true, "temperature"]);
  });

  test("retries what was dropped, and both tries are billed", async () => {
    await fault([{ match: { nth: 1 }, fault: { kind: "drop_after_billed" } }]);
    const before = simulator.stats().calls;
    const retrying = new OpenAI({ apiKey: "sk-right", baseURL: simulator.openaiBaseUrl, maxRetries: 1 });
    const answer = await retrying.chat.completions.create({ ...chat, messages: [...chat.messages] });
    expect(answer.choices[0]?.message.content).toContain(HI);
    expect(simulator.stats().calls - before).toBe(2);
  });
});

describe("Anthropic's own client", () => {
  test("gets a message with usage and its request id", async () => {
    const answer = await anthropic.messages.create({ ...messages, messages: [...messages.messages] });
    expect(answer.content).toEqual([{ type: "text", text: expect.stringContaining(`digest=${HI}`) }]);
    expect(answer.stop_reason).toBe("end_turn");
    expect(answer.usage).toMatchObject({ input_tokens: 7, cache_read_input_tokens: 0 });
    expect(answer._request_id).toMatch(/^req_[0-9a-f]{32}$/);
  });

  test.each([
    { status: 400, type: Anthropic.BadRequestError },
    { status: 401, type: Anthropic.AuthenticationError },
    { status: 403, type: Anthropic.PermissionDeniedError },
    { status: 404, type: Anthropic.NotFoundError },
    { status: 409, type: Anthropic.ConflictError },
    { status: 429, type: Anthropic.RateLimitError },
    { status: 500, type: Anthropic.InternalServerError },
    { status: 529, type: Anthropic.InternalServerError },
  ])("raises its own error for $status", async ({ status, type }) => {
    await fault([{ fault: { kind: "status", status } }]);
    const error = await failure(anthropic.messages.create({ ...messages, messages: [...messages.messages] }));
    expect(error).toBeInstanceOf(type);
    expect(error.status).toBe(status);
    expect(error.requestID).toMatch(/^req_/);
  });

  test("raises typed errors for a wrong key, an unknown model and a wrong field", async () => {
    const wrongKey = new Anthropic({ apiKey: "sk-wrong", baseURL: simulator.anthropicBaseUrl, maxRetries: 0 });
    expect(await failure(wrongKey.messages.create({ ...messages, messages: [...messages.messages] }))).toBeInstanceOf(
      Anthropic.AuthenticationError,
    );
    expect(
      await failure(anthropic.messages.create({ ...messages, messages: [...messages.messages], model: "claude-9" })),
    ).toBeInstanceOf(Anthropic.NotFoundError);
    expect(
      await failure(anthropic.messages.create({ ...messages, messages: [...messages.messages], max_tokens: 0 })),
    ).toBeInstanceOf(Anthropic.BadRequestError);
  });
});
