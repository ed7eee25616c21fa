import { describe, expect, test } from "@jest/globals";
import { FILE_RULES, INLINE_RULES } from "../support/simulation/batch-service.js";
import { BatchBench } from "../support/batch-bench.js";

const PROMPTS = ["one", "two", "three", "four", "five"];
const ALL_SUCCEEDED = Object.fromEntries(PROMPTS.map((prompt) => [prompt, "succeeded"]));

/**
 * Runs the same jobs with a router that dies before its event number `at`. Events that come again while nothing changes count once: looks
 * at an idle ledger. @returns whether it came so far.
 */
async function runKilledAt(at: number, rules: typeof FILE_RULES): Promise<{ bench: BatchBench; killed: boolean }> {
  const bench = new BatchBench({ rules });
  await bench.accept(PROMPTS);
  bench.start();
  const events = new Set<string>();
  let killed = false;
  bench.world.interrupt = (life, label) => {
    const known = events.size;
    events.add(`${label} ${bench.progress()}`);
    if (killed || events.size === known || events.size !== at || life.dead) return false;
    killed = true;
    bench.kill();
    return true;
  };
  const quiet = await bench.settle();
  expect({ at, quiet }).toEqual({ at, quiet: true });
  return { bench, killed };
}

/** Lines that two batches at the provider hold. */
function submittedTwice({ books }: BatchBench): readonly string[] {
  const ids = [...books.batches.values()].flatMap(({ lines }) => lines.map(({ customId }) => customId));
  return ids.filter((id, at) => ids.indexOf(id) !== at);
}

describe.each([
  ["files and marks", FILE_RULES],
  ["lines inside of the create call, and no marks", INLINE_RULES],
])("a router with %s", (_what, rules) => {
  test("brings every line home", async () => {
    const { bench } = await runKilledAt(-1, rules);
    expect(bench.jobs()).toEqual(ALL_SUCCEEDED);
    expect(bench.batchStates()).toEqual(["done"]);
    expect(bench.outcomes()).toEqual(PROMPTS.map(() => "succeeded"));
    expect(bench.events()).toEqual(["batch.submitted", "batch.ended"]);
    expect([...bench.books.files.values()].filter(({ deleted }) => !deleted)).toEqual([]);
  });

  test("may be killed before any of its steps: no line runs twice, none is lost", async () => {
    let at = 1;
    for (; ; at += 1) {
      const { bench, killed } = await runKilledAt(at, rules);
      expect({ at, jobs: bench.jobs() }).toEqual({ at, jobs: ALL_SUCCEEDED });
      expect({ at, runs: [...bench.runs().values()] }).toEqual({ at, runs: PROMPTS.map(() => 1) });
      expect({ at, twice: submittedTwice(bench) }).toEqual({ at, twice: [] });
      if (!killed) break;
    }
    // Each statement, call and sleep of the whole life was one of them.
    expect(at).toBeGreaterThan(60);
  }, 120_000);
});
