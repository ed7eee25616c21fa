import { expect, test } from "@jest/globals";
import { runFuzz } from "../support/fuzz/run-fuzz.js";

// The long run is `npm run fuzz`; this one is there so that no reader gets worse unnoticed.
test("twenty thousand broken inputs of every kind are read without a crash, and each kind goes more ways than one", async () => {
  const report = await runFuzz({ inputs: 20_000, seed: 1 });
  expect(report.targets.flatMap(({ name, failures }) => failures.map((failure) => ({ name, ...failure })))).toEqual([]);
  expect(report.inputs).toBeGreaterThanOrEqual(20_000);
  const words = Object.fromEntries(report.targets.map(({ name, outcomes }) => [name, Object.keys(outcomes)]));
  expect(words["json record"]).toEqual(
    expect.arrayContaining(["a job", "BAD_JSON", "BAD_UTF8", "BAD_JOB", "TOO_DEEP", "cancel"]),
  );
  expect(words["avro record"]).toEqual(expect.arrayContaining(["a job", "BAD_AVRO", "BAD_JSON", "UNKNOWN_SCHEMA"]));
  expect(words["batch results"]).toEqual(expect.arrayContaining(["end+line", "end+line+malformed"]));
  expect(words["provider answer"]).toEqual(expect.arrayContaining(["answered", "bad_response", "rate_limited"]));
  expect(words["config"]).toEqual(["a config", "refused"]);
}, 120_000);
