import { afterEach, expect, jest, test } from "@jest/globals";
import { runDemo } from "../../src/demo/run-demo.js";

const before = process.env["REDIS_URL"];
afterEach(() => {
  if (before === undefined) delete process.env["REDIS_URL"];
  else process.env["REDIS_URL"] = before;
  jest.restoreAllMocks();
});

test("the demo ends with 4 when a server that the environment names does not answer, and says which", async () => {
  process.env["REDIS_URL"] = "redis://127.0.0.1:1";
  const said: string[] = [];
  jest.spyOn(process.stderr, "write").mockImplementation((text) => {
    said.push(String(text));
    return true;
  });
  const exitCode = await runDemo({
    jobs: 1,
    kill: 0,
    doubt: "retry",
    mix: "plain",
    json: true,
    keep: false,
    real: null,
  });
  expect(exitCode).toBe(4);
  expect(said.join("")).toContain("redis: REDIS_URL is set, but nothing answers there");
});
