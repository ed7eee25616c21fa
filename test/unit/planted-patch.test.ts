import { describe, expect, test } from "@jest/globals";
import { applyHunks, parsePatch, PlantedPatchError } from "../support/planted/planted-patch.js";

const HEAD = "A way to be wrong\n\nchecker: one_result\nruns in: simulation direct, 20 seeds\n\n";
const HUNK = "--- dist/a.js\n@@\n before\n-    gone\n+    come\n+    more\n";

function hunksOf(text: string): ReturnType<typeof parsePatch>["files"] {
  return parsePatch("a-name", HEAD + text).files;
}

function applied(hunks: string, text: string): string {
  return applyHunks("a-name", text, hunksOf(hunks).get("dist/a.js") ?? []);
}

describe("a planted bug's patch", () => {
  test("names its checker and where it runs", () => {
    expect(parsePatch("a-name", HEAD + HUNK)).toEqual({
      name: "a-name",
      title: "A way to be wrong",
      checker: "one_result",
      runsIn: { place: "simulation", world: "direct", seeds: 20 },
      inCheck: false,
      files: new Map([["dist/a.js", [{ before: ["before", "    gone"], after: ["before", "    come", "    more"] }]]]),
    });
  });

  test("changes the lines that it names, wherever they are", () => {
    expect(applied(HUNK, "before\n    gone\nlast")).toBe("before\n    come\n    more\nlast");
    expect(applied(HUNK, "new\nnew\nbefore\n    gone")).toBe("new\nnew\nbefore\n    come\n    more");
  });

  test("applies its hunks one after another", () => {
    const two = `${HUNK}@@\n-last\n`;
    expect(applied(two, "before\n    gone\nlast\n")).toBe("before\n    come\n    more\n");
  });

  test.each([
    ["a line that changed", "before\n    gone, or not\nlast"],
    ["lines that moved apart", "before\nbetween\n    gone"],
    ["another indent", "before\n  gone"],
    ["two such places", "before\n    gone\nbefore\n    gone"],
    ["only a part of a line", "// before\n    gone"],
  ])("does not apply to %s", (_what, text) => {
    expect(() => applied(HUNK, text)).toThrow(PlantedPatchError);
  });

  test.each([
    ["no file", HEAD],
    ["no checker", HEAD.replace("checker", "found by") + HUNK],
    ["a place that is none", HEAD.replace("simulation direct, 20 seeds", "the kitchen") + HUNK],
    ["a hunk that changes nothing", `${HEAD}--- dist/a.js\n@@\n before\n`],
    ["a hunk without a line to be found by", `${HEAD}--- dist/a.js\n@@\n+come\n`],
    ["a line without a sign", `${HEAD}--- dist/a.js\n@@\n-gone\ncome\n`],
  ])("is refused with %s", (_what, text) => {
    expect(() => parsePatch("a-name", text)).toThrow(PlantedPatchError);
  });
});
