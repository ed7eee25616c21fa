/** A request that overruns the stack of its checks is refused like any other; neither the process nor a batch ends by it. */
import { expect, test } from "@jest/globals";
import { createBatch, finalBatch, idsIn, line } from "../support/simulator-batches.js";
import { OPENAI_HEADERS, chat, rows, send, simulatorForEachTest } from "../support/simulator-harness.js";

simulatorForEachTest();

const LEVELS = 50_000;
const SCHEMA = `${'{"type":"object","properties":{"a":'.repeat(LEVELS)}{"type":"string"}${"}}".repeat(LEVELS)}`;
const JSON_TYPE = { "content-type": "application/json" };
const ANTHROPIC = { ...JSON_TYPE, "x-api-key": "any", "anthropic-version": "2023-06-01" };
const GEMINI = { ...JSON_TYPE, "x-goog-api-key": "any" };
const OPENAI_CALL = `{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":${SCHEMA}}}]}`;
const ANTHROPIC_CALL = `{"model":"claude-haiku-4-5","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"tools":[{"name":"f","input_schema":${SCHEMA}}]}`;
const GEMINI_CALL = `{"contents":[{"parts":[{"text":"Hi"}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":${SCHEMA}}]}]}`;
const GEMINI_PATH = "/v1beta/models/gemini-2.5-flash";

test.each([
  ["an OpenAI call", "/v1/chat/completions", OPENAI_HEADERS, OPENAI_CALL],
  ["a call to vLLM", "/vllm/v1/chat/completions", OPENAI_HEADERS, OPENAI_CALL.replace("gpt-4.1-mini", "llama-3.1-8b")],
  ["an Anthropic call", "/v1/messages", ANTHROPIC, ANTHROPIC_CALL],
  ["a count of tokens", "/v1/messages/count_tokens", ANTHROPIC, ANTHROPIC_CALL.replace('"max_tokens":9,', "")],
  [
    "an Anthropic batch",
    "/v1/messages/batches",
    ANTHROPIC,
    `{"requests":[{"custom_id":"a","params":${ANTHROPIC_CALL}}]}`,
  ],
  ["a Gemini call", `${GEMINI_PATH}:generateContent`, GEMINI, GEMINI_CALL],
  [
    "a Gemini batch",
    `${GEMINI_PATH}:batchGenerateContent`,
    GEMINI,
    `{"batch":{"displayName":"a","inputConfig":{"requests":{"requests":[{"request":${GEMINI_CALL}}]}}}}`,
  ],
])("%s", async (_what, path, headers, body) => {
  const answer = await send(path, headers, body);
  expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(/nested too deeply|too deep/)]);
  expect(rows()).toEqual([]);
  expect((await chat()).status).toBe(200);
});

test("a line of a batch, which fails alone", async () => {
  const deep = `{"custom_id":"deep","method":"POST","url":"/v1/chat/completions","body":${OPENAI_CALL}}`;
  const id = await createBatch([line("before"), deep, line("after")]);
  const end = await finalBatch(id);
  expect(end).toMatchObject({ status: "completed", request_counts: { total: 3, completed: 2, failed: 1 } });
  expect([await idsIn(end.output_file_id), await idsIn(end.error_file_id)]).toEqual([["before", "after"], ["deep"]]);
});
