import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { armCrashPoint, readCrashWish, type CrashLine } from "../../src/app/crash-point.js";
import { runCli } from "../../src/cli/run-cli.js";
import { CRASH_POINTS, NOT_ARMED, reachSoon, type CrashPoint } from "../../src/ports/crash-points.js";

const CHILD = fileURLToPath(new URL("../support/crash-child.mjs", import.meta.url));
const SOURCES = fileURLToPath(new URL("../../src", import.meta.url));
const LIST = "ports/crash-points.ts";
/** Where the points of each part of the work may be passed: a folder or a file below `src`. */
const PASSED_IN: Readonly<Record<string, readonly string[]>> = {
  start: ["app/run-router.ts", "app/session/session.ts"],
  migrate: ["adapters/postgres/migrate.ts"],
  session: ["app/session/session.ts", "pipeline/session/", "adapters/postgres/sessions.ts"],
  journal: ["pipeline/finish/earlier-work.ts"],
  intake: ["pipeline/intake/", "adapters/kafka/inbox-consumer.ts", "adapters/postgres/accept.ts"],
  claim: ["pipeline/dispatch/dispatch-stage.ts", "adapters/postgres/claim.ts"],
  doubt: ["adapters/postgres/settle-doubts.ts"],
  call: ["pipeline/dispatch/caller.ts", "pipeline/finish/finish-stage.ts"],
  give_back: ["pipeline/dispatch/give-back.ts", "adapters/postgres/sessions.ts"],
  finish: ["pipeline/finish/finish-stage.ts", "adapters/postgres/finish.ts"],
  relay: ["pipeline/relay/", "adapters/kafka/record-publisher.ts"],
  cost: ["pipeline/relay/topic-queue.ts"],
  event: ["pipeline/relay/topic-queue.ts"],
  dead_letter: ["pipeline/relay/topic-queue.ts"],
  give_up: ["pipeline/relay/topic-queue.ts", "adapters/postgres/give-up.ts"],
  grant: ["pipeline/dispatch/rate-limits.ts"],
  breaker: ["pipeline/dispatch/health-watch.ts", "adapters/postgres/health/"],
  batch: ["pipeline/batch/", "adapters/postgres/batch/"],
  group: ["pipeline/batch/group-worker.ts", "pipeline/batch/group-calls.ts"],
  operator: ["app/operator/open-operator.ts"],
  replay: ["app/operator/replay-letters.ts", "adapters/postgres/operator/replay-letter.ts"],
  redeliver: ["adapters/postgres/operator/redeliver-letter.ts"],
  discard: ["adapters/postgres/operator/discard-letters.ts"],
  cancel: ["cli/commands/jobs.ts", "adapters/postgres/postgres-ledger.ts"],
  batch_cancel: ["adapters/postgres/operator/cancel-batch.ts"],
  resolve: ["app/operator/reconcile-bill.ts", "adapters/postgres/operator/doubt-rows.ts"],
  adopt: ["adapters/postgres/operator/position-rows.ts"],
};

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-crash-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe("SLUICE_CRASH_AT", () => {
  test.each([
    ["relay.after_ack", { point: "relay.after_ack", passing: 1, laterMs: 0 }],
    ["relay.after_ack:3", { point: "relay.after_ack", passing: 3, laterMs: 0 }],
    ["batch.create_leaving+200", { point: "batch.create_leaving", passing: 1, laterMs: 200 }],
    ["batch.result_read:12+60000", { point: "batch.result_read", passing: 12, laterMs: 60_000 }],
  ])("%s is read", (text, wish) => {
    expect(readCrashWish(text)).toEqual(wish);
  });

  test.each(["", "relay.after_ack:0", "relay.after_ack+60001", "relay.after_ack:200ms", "Relay.after_ack", "a b"])(
    "%j is refused with what was expected",
    (text) => {
      expect(() => readCrashWish(text)).toThrow(/^SLUICE_CRASH_AT: expected <point>/);
    },
  );

  test.each([
    ["intake.after_acept", "intake.after_accept"],
    ["relay.acked", "relay.after_ack"],
    ["create_leaving", "batch.create_leaving"],
  ])("%s is no point, and %s is named as near", (text, near) => {
    expect(() => readCrashWish(text)).toThrow(`there is no point ${text}; near are`);
    expect(() => readCrashWish(text)).toThrow(near);
  });
});

describe("an armed point", () => {
  const ends = (at: string) => {
    const lines: CrashLine[] = [];
    const reach = armCrashPoint({ SLUICE_CRASH_AT: at }, (line) => {
      lines.push(line);
    });
    return { lines, reach };
  };

  test("ends the process at the passing that it names, once, and at no other point", () => {
    const { lines, reach } = ends("claim.after:2");
    reach("claim.after");
    reach("finish.after_write");
    expect(lines).toEqual([]);
    reach("claim.after");
    reach("claim.after");
    expect(lines).toEqual([{ crashPoint: "claim.after", passing: 2, pid: process.pid, atMs: expect.any(Number) }]);
  });

  test("lets the process go on for as long as it says", async () => {
    const { lines, reach } = ends("claim.after+20");
    reach("claim.after");
    expect(lines).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(lines).toHaveLength(1);
  });

  test("is there only where the environment says so", () => {
    expect(armCrashPoint({})).toBe(NOT_ARMED);
    expect(armCrashPoint({ SLUICE_CRASH_AT: "" })).toBe(NOT_ARMED);
  });

  test("that is passed soon is passed after this turn, and costs no turn where nothing is armed", async () => {
    const passed: CrashPoint[] = [];
    reachSoon((point) => {
      passed.push(point);
    }, "call.in_air");
    reachSoon(NOT_ARMED, "call.in_air");
    reachSoon(undefined, "call.in_air");
    expect(passed).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(passed).toEqual(["call.in_air"]);
  });

  test("kills the process with its line on the disk, and nothing of it runs afterwards", () => {
    const log = join(folder, "killed.jsonl");
    const env = { ...process.env, SLUICE_CRASH_AT: "finish.after_write:2", SLUICE_CRASH_LOG: log };
    const points = ["finish.after_write", "relay.after_ack", "finish.after_write", "relay.after_ack"];
    const child = spawnSync(process.execPath, [CHILD, ...points], { env, encoding: "utf8" });
    expect(child).toMatchObject({ status: null, signal: "SIGKILL" });
    expect(child.stdout).toBe("passed finish.after_write\npassed relay.after_ack\n");
    const line = { crashPoint: "finish.after_write", passing: 2, pid: child.pid, atMs: expect.any(Number) };
    expect(JSON.parse(readFileSync(log, "utf8"))).toEqual(line);
    expect(JSON.parse(child.stderr)).toEqual(line);
  });

  test("leaves a process alone that never comes there", () => {
    const log = join(folder, "alone.jsonl");
    const env = { ...process.env, SLUICE_CRASH_AT: "finish.after_write", SLUICE_CRASH_LOG: log };
    const child = spawnSync(process.execPath, [CHILD, "relay.after_ack"], { env, encoding: "utf8" });
    expect([child.status, child.stderr, existsSync(log)]).toEqual([0, "", false]);
  });
});

describe("the list of points", () => {
  /** Files below `src` that say a point's name, by point. */
  const namedIn = (): ReadonlyMap<string, readonly string[]> => {
    const found = new Map<string, string[]>();
    for (const file of readdirSync(SOURCES, { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts") || file === LIST) continue;
      const text = readFileSync(join(SOURCES, file), "utf8");
      const passed = text.matchAll(
        /(?:\breach(?:\?\.)?\(|reachSoon\([^"]*|commitPoints\(\[|: \[)((?:"[a-z_]+\.[a-z_]+"(?:, )?)+)/g,
      );
      for (const [, names = ""] of passed)
        for (const [, name = ""] of names.matchAll(/"([^"]+)"/g)) found.set(name, [...(found.get(name) ?? []), file]);
    }
    return found;
  };

  test("has at least 44 names, each with what stands there", () => {
    expect(CRASH_POINTS.length).toBeGreaterThanOrEqual(44);
    expect(new Set(CRASH_POINTS).size).toBe(CRASH_POINTS.length);
  });

  test("is passed: each of them somewhere, in the part of the code that its name says", () => {
    const files = namedIn();
    const astray = CRASH_POINTS.flatMap((point) => {
      const places = PASSED_IN[point.split(".")[0] ?? ""] ?? [];
      const passed = files.get(point) ?? [];
      const isRight = passed.length > 0 && passed.every((file) => places.some((place) => file.startsWith(place)));
      return isRight ? [] : [{ point, passed }];
    });
    expect(astray).toEqual([]);
  });

  test("is told by a command that the help does not show", async () => {
    const told: string[] = [];
    const cli = { data: (line: string) => told.push(line), note: () => undefined, env: {} };
    const signal = new AbortController().signal;
    expect(await runCli(["router", "crash-points", "--json"], { ...cli, signal })).toBe(0);
    const points = JSON.parse(told.splice(0).join("\n")) as readonly {
      name: string;
      passedBy: string;
      means: string;
    }[];
    expect(points.map(({ name }) => name)).toEqual(CRASH_POINTS);
    expect(points[0]).toEqual({
      name: "start.schema_checked",
      passedBy: "router",
      means: "the ledger's schema was found current; no server is open, no session begun",
    });
    expect(await runCli(["router", "crash-points"], { ...cli, signal })).toBe(0);
    expect(told.splice(0).join("\n")).toMatch(/^relay\.after_ack +router +results are acknowledged/m);
    expect(await runCli(["router", "--help"], { ...cli, signal })).toBe(0);
    expect(told.join("\n")).not.toContain("crash-points");
  });
});
