import { expect, test } from "@jest/globals";
import { openProgress } from "../../src/demo/progress.js";
import { Terminal } from "../support/terminal.js";

const asStream = (terminal: Terminal): NodeJS.WriteStream => terminal as unknown as NodeJS.WriteStream; // all that progress uses of one

test("on a terminal, what is said stands above the bar in its order, and the next words begin on a line of their own", () => {
  const terminal = new Terminal();
  const progress = openProgress(asStream(terminal), () => 0);
  progress.say("publishing");
  progress.begin(100_000);
  progress.update(2500, "0 of 100 kills");
  progress.say("kill 1");
  expect(terminal.lines).toEqual([
    "publishing",
    "kill 1",
    expect.stringMatching(/^answered 2500\/100000 .* 2% 0 of 100 kills$/),
  ]);
  progress.update(100_000, "100 of 100 kills");
  progress.say("kill 2");
  progress.say("kill 3");
  progress.end();
  progress.say("reading");
  expect(terminal.lines).toEqual([
    "publishing",
    "kill 1",
    "kill 2",
    "kill 3",
    expect.stringMatching(/^answered 100000\/100000 █+ 100% 100 of 100 kills$/),
    "reading",
    "",
  ]);
  expect(Math.max(...terminal.lines.map((line) => line.length))).toBeLessThanOrEqual(80);
});

test("on a terminal, an end before the bar began leaves no trace", () => {
  const terminal = new Terminal();
  const progress = openProgress(asStream(terminal), () => 0);
  progress.end();
  progress.say("demo: no server");
  expect(terminal.lines).toEqual(["demo: no server", ""]);
});
