/** The example of the simulator's README, as it stands there. */
import { readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { expect, test } from "@jest/globals";
import OpenAI, { toFile } from "openai";
import { startSimulator } from "../../src/simulator/simulator.js";

test("a user's test has its own providers, moves time on, and reads the bill", async () => {
  const simulator = await startSimulator({
    faults: [{ match: { nth: 2 }, fault: { kind: "batch_expires", share: 0.5 } }],
  });
  const openai = new OpenAI({ apiKey: "any", baseURL: simulator.openaiBaseUrl });

  const line = { custom_id: "a", method: "POST", url: "/v1/chat/completions" };
  const body = { model: "gpt-4.1-mini", messages: [{ role: "user", content: "Hi" }] };
  const file = await toFile(Buffer.from(JSON.stringify({ ...line, body })), "lines.jsonl");
  const { id } = await openai.files.create({ file, purpose: "batch" });
  let batch = await openai.batches.create({
    input_file_id: id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });

  while (batch.status !== "completed") {
    simulator.advanceClock(3_600_000); // an hour passes at once
    batch = await openai.batches.retrieve(batch.id);
  }
  expect(simulator.billRows()).toMatchObject([{ mode: "batch", attempt: "a", batch: batch.id, line: 1 }]);
  simulator.setFaults([]);
  expect(simulator.stats().faultRules).toEqual([]);
  await simulator.close();
  expect(() => simulator.billRows()).toThrow();
});

test("a simulator that does not start leaves no folder behind", async () => {
  const own = `sluice-simulator-${String(process.pid)}-`;
  const folders = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith(own));
  const running = await startSimulator();
  expect(folders()).toHaveLength(1);
  await expect(startSimulator({ timeScale: 0 })).rejects.toThrow("time scale");
  await expect(startSimulator({ port: Number(new URL(running.url).port) })).rejects.toThrow("EADDRINUSE");
  expect(folders()).toHaveLength(1);
  await running.close();
  expect(folders()).toEqual([]);
});

test("the README shows what is tried here", () => {
  const read = (path: string): readonly string[] =>
    readFileSync(new URL(path, import.meta.url), "utf8")
      .split("\n")
      .map((line) => line.trim());
  const readme = read("../../src/simulator/README.md");
  const from = readme.indexOf("```ts");
  const code = readme.slice(from + 1, readme.indexOf("```", from)).filter((line) => /[a-z]/.test(line));
  const tried = read("./simulator-example.test.ts");
  const untried = code.filter((line) => !line.includes("sluice/simulator") && !line.startsWith("simulator.billRows"));
  expect(untried.filter((line) => !tried.includes(line.replace(/ \/\/ without.*$/, "")))).toEqual([]);
});
