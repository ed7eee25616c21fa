/** Rows A16 (P20 of the design) and A17 of the fault catalogue: a record that ends each router which reads it, and bugs that end one. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Gateway } from "../support/gateway.js";
import { answerDigests, chatJob, digestOf, headerText, resultIn } from "../support/gateway-records.js";

const WORDS = "the words that no router survives";
const HOOK = new URL("../support/dies-at-words.mjs", import.meta.url);

let gateway: Gateway;
beforeAll(async () => {
  gateway = await Gateway.open({
    name: "crash",
    partitions: 2,
    config: {
      inDoubt: { policy: "retry", graceMs: 500 },
      // A killed router is declared dead well after its partitions went to the next one, as with the defaults.
      postgres: { session: { beatMs: 500, stopAfterMs: 1500, deadAfterMs: 12_000 } },
    },
  });
});
afterAll(async () => {
  await gateway.close();
});

/** Runs a router until it dies, or the record is a dead letter. @returns whether it died. */
async function liveOneLife(life: number): Promise<boolean> {
  const env = { NODE_OPTIONS: `--import ${HOOK.href}`, DIES_AT_WORDS: WORDS };
  try {
    const router = await gateway.startRouter(`life-${String(life)}`, env);
    router.expectEnd();
    await gateway.until(
      "a dead router or a dead letter",
      () => !router.running || gateway.topics.deadLetters.length > 0,
    );
    return !router.running;
  } catch (error) {
    if (error instanceof Error && error.message.includes("was ended by SIGKILL")) return true; // before it was ready
    throw error;
  }
}

test("[A16] makes a dead letter of a record that killed three routers, unread, and serves its neighbours once each", async () => {
  const before = ["before 1", "before 2", "before 3"];
  const after = ["after 1", "after 2", "after 3"];
  const beside = ["beside 1", "beside 2", "beside 3"];
  const killer = chatJob("killer", WORDS);
  const values = [...before.map((id) => chatJob(id, id)), killer, ...after.map((id) => chatJob(id, id))];
  const [first = Number.NaN] = await gateway.topics.publish(values.map((value) => ({ value, partition: 0 })));
  await gateway.topics.publish(beside.map((id) => ({ value: chatJob(id, id), partition: 1 })));

  let deaths = 0;
  while (await liveOneLife(deaths + 1)) {
    deaths += 1;
    expect(deaths).toBeLessThan(6);
  }
  expect(deaths).toBe(3);

  const letter = await gateway.deadLetterOf(first + before.length);
  expect(headerText(letter, "llm-error-code")).toBe("CRASH_SUSPECT");
  expect(headerText(letter, "llm-error-stage")).toBe("intake");
  expect(letter.value?.toString()).toBe(killer);

  const later = ["later 1", "later 2"];
  await gateway.topics.publish(later.map((id, index) => ({ value: chatJob(id, id), partition: index })));
  const served = [...before, ...after, ...beside, ...later];
  for (const id of served) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
  expect(await gateway.position()).toBe(served.length + 1);
  // A kill in the publish window repeats a result byte for byte: that is the same answer.
  const answers = new Set(gateway.topics.results.map((record) => record.value?.toString("latin1")));
  expect(answers.size).toBe(served.length);
  expect(gateway.topics.deadLetters).toHaveLength(1);
}, 180_000);

test.each([
  ["an exception that nobody catches", 'throw new Error("a bug on purpose");'],
  ["a rejection that nobody handles", 'void Promise.reject(new Error("a bug on purpose"));'],
])(
  "[A17] %s ends the router with its reason as the last line, never half-alive; what it leaves is served once",
  async (what, code) => {
    const hook = `process.on("SIGUSR2", () => { ${code} });`;
    const router = await gateway.startRouter(`buggy-${String(code.length)}`, {
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(hook)}`,
    });
    const other = await gateway.startRouter(`other-${String(code.length)}`);
    const calls = (await gateway.simulator.bill()).length;
    router.signal("SIGUSR2");
    const line = await router.event("router.crashed");
    expect(JSON.stringify(line)).toContain("a bug on purpose");
    const { code: exitCode, signal } = await router.ended;
    expect(signal).toBeNull();
    expect(exitCode).toBeGreaterThan(0);
    expect(router.log().at(-1)?.event).toBe("router.crashed");
    const left = [`${what} 1`, `${what} 2`];
    await gateway.topics.publish(left.map((id, partition) => ({ value: chatJob(id, id), partition })));
    for (const id of left) expect(answerDigests(resultIn(await gateway.result(id))).prompt).toBe(digestOf(id));
    expect(left.map((id) => gateway.resultsOf(id).length)).toEqual([1, 1]);
    expect((await gateway.simulator.bill()).length).toBe(calls + 2);
    expect(other.running).toBe(true);
  },
);
