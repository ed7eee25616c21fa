import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { parseChaosOptions } from "../../src/chaos/chaos-options.js";
import { checkAll } from "../../src/chaos/checkers/check-all.js";
import type { Evidence, Fault } from "../../src/chaos/evidence/evidence.js";
import { reportOf, type RunFacts } from "../../src/chaos/report/chaos-report.js";
import { reportPage } from "../../src/chaos/report/report-page.js";
import { writeEvidence, writeReport } from "../../src/chaos/report/write-report.js";
import { goodEvidence, START_MS } from "./chaos-evidence-fixture.js";

/** As many faults of each kind as half a minute must have, each seen. */
const SEEN = {
  router_stop: 1,
  router_restart: 1,
  clock_jump: 1,
  broker_kill: 1,
  postgres_kill: 1,
  redis_kill: 1,
  redis_flush: 1,
  network: 3,
  provider_fault: 1,
  rebalance: 1,
  replay: 1,
  cancel: 1,
} as const;

const fault = (more: Partial<Fault>): Fault => ({
  kind: "router_kill",
  atMs: START_MS + 1000,
  untilMs: START_MS + 1500,
  target: "router-1",
  pid: 7,
  signal: "SIGKILL",
  point: null,
  callsInAir: 1,
  workInFlight: true,
  detail: null,
  ...more,
});

const KILLS: readonly Fault[] = [
  fault({}),
  fault({ target: "router-2" }),
  fault({ kind: "crash_point", point: "intake.read" }),
  fault({ kind: "crash_point", point: "call.kept", workInFlight: false }),
];

function facts(evidence: Evidence, more: Partial<RunFacts> = {}): RunFacts {
  return {
    options: parseChaosOptions("--jobs 12 --minutes 0.5 --seed 9 --kills 4".split(" ")),
    run: evidence.run,
    tally: { seen: SEEN, unseen: [] },
    kills: KILLS.length,
    exits: [],
    crashPoints: { "intake.read": 1, "call.kept": 1, "relay.after_ack": 0 },
    usualPointsHit: 2,
    crashPointsMissed: ["relay.after_ack"],
    commandPoints: { "replay.after_letter": 1 },
    noClockJumps: null,
    sendsRepeated: 0,
    unknownOutcomes: 0,
    callsBroken: 0,
    left: null,
    ...more,
  };
}

/** The good run with kills of routers in it. */
function evidence(faults: readonly Fault[] = KILLS): Evidence {
  const good = goodEvidence() as Evidence;
  return { ...good, faults: [...good.faults, ...faults] };
}

function report(from: Evidence, more: Partial<RunFacts> = {}) {
  return reportOf(from, facts(from, more), checkAll(from));
}

describe("the report of a run", () => {
  test("says that everything held, and counts what was seen", () => {
    const { broken, figures, json } = report(evidence([]), { kills: 0 });
    // The good run has faults of its own; kills of routers are not enough of them.
    expect(broken.filter((line) => !line.includes("router_kill") && !line.includes("work in flight"))).toEqual([]);
    expect(figures).toMatchObject({
      jobs: 12,
      minutes: 0.5,
      seed: 9,
      lost: 0,
      answeredTwice: 0,
      ledgerEqualsBill: true,
    });
    expect(JSON.parse(json)).toMatchObject({ budgetOverrunNanoUsd: "0", crashPointsHit: 3, usualPointsMissed: 1 });
  });

  test("counts a kill by its signal, and never an operator's command as a router", () => {
    const without = report(evidence([]), { kills: 9 }).figures.routerKills;
    const died = fault({ signal: null });
    const operator = fault({ kind: "crash_point", point: "replay.after_letter", target: "operator" });
    expect(report(evidence([...KILLS, died, operator]), { kills: 99 }).figures.routerKills).toBe(without + 4);
  });

  test.each(Object.keys(SEEN))("fails when too few faults of the kind %s were seen, and says why", (kind) => {
    const tally = {
      seen: { ...SEEN, [kind]: 0 },
      unseen: [{ kind: kind as "cancel", atMs: 1, why: "nobody was there" }],
    };
    expect(report(evidence(), { tally }).broken).toContainEqual(
      expect.stringMatching(new RegExp(`^0 of at least \\d+: ${kind} \\(nobody was there\\)$`)),
    );
  });

  test("asks for no clock jumps where there can be none, and says so", () => {
    const tally = { seen: { ...SEEN, clock_jump: 0 }, unseen: [] };
    const { broken, figures } = report(evidence(), { tally, noClockJumps: "no library" });
    expect(broken.filter((line) => line.includes("clock_jump"))).toEqual([]);
    expect(figures.clockJumps).toBe("not run");
  });

  test("fails when too few of the usual crash points were hit, whatever else was, and names those that were missed", () => {
    const { broken } = report(evidence(), {
      crashPoints: { "intake.read": 1, "call.kept": 0, "journal.read": 4, "event.after_ack": 1 },
      usualPointsHit: 1,
      crashPointsMissed: ["call.kept"],
    });
    expect(broken).toContainEqual("1 usual crash points were hit, at least 2 have to be; missed: call.kept");
  });

  test("fails when too few kills met work", () => {
    const idle = KILLS.map((kill) => ({ ...kill, workInFlight: false }));
    const good = evidence([]).faults.filter(({ kind, workInFlight }) => kind === "router_kill" && workInFlight).length;
    expect(report(evidence(idle)).figures.killsWithWorkInFlight).toBe(good);
  });

  test("fails with each rule that a checker found broken, once, with its first case", () => {
    const good = evidence();
    const lost = { ...good, topics: { ...good.topics, results: [] } };
    const { broken, figures, violations } = report(lost);
    expect(figures.violations).toBe(violations.length);
    expect(violations.length).toBeGreaterThan(1);
    const firstOf = new Map([...violations].reverse().map((one) => [`${one.checker}: ${one.rule}`, one.detail]));
    expect(broken.map((line) => line.replace(/, \d+ times, first: .*/, ""))).toEqual(
      expect.arrayContaining([...firstOf.keys()]),
    );
    for (const [rule, detail] of firstOf)
      expect(
        broken.filter((line) => line.startsWith(`${rule}, `) && line.endsWith(` times, first: ${detail}`)),
      ).toHaveLength(1);
  });
});

describe("the page of a run", () => {
  test("has the command that does it again, figures, faults and the histories of what did not hold", () => {
    const good = evidence();
    const lost = { ...good, topics: { ...good.topics, results: [] } };
    const exits = [{ router: "router-1", atMs: START_MS, words: "router-1 ended | with\nexit code 4" }];
    const page = reportPage(report(lost, { exits }), lost);
    expect(page).toContain("npm run chaos -- --jobs 12 --minutes 0.5 --seed 9 --doubt retry --kills 4");
    expect(page).toMatch(/^# Chaos: \d+ things did not hold/);
    expect(page).toMatch(/### [a-z_]+: lost\n\nseed \d+, job /);
    expect(page).toContain("| intake.read | 1 |");
    expect(page).toContain("moments");
  });

  test("is written beside the figures as JSON", async () => {
    const folder = mkdtempSync(join(tmpdir(), "chaos-report-"));
    const good = evidence();
    await writeReport(join(folder, "out"), report(good), good);
    const written = JSON.parse(readFileSync(join(folder, "out", "report.json"), "utf8")) as {
      readonly figures: unknown;
    };
    expect(written.figures).toMatchObject({ seed: 9 });
    expect(readFileSync(join(folder, "out", "report.md"), "utf8")).toContain("## Timeline");
    rmSync(folder, { recursive: true });
  });

  test("leaves all lists of the evidence behind, of topics and ledger alike", async () => {
    const folder = mkdtempSync(join(tmpdir(), "chaos-report-"));
    const good = evidence();
    await writeEvidence(join(folder, "evidence.json"), good);
    const written = JSON.parse(readFileSync(join(folder, "evidence.json"), "utf8")) as Readonly<
      Record<string, unknown>
    >;
    const lengths = ["topics.costs", "ledger.costs", "topics.deadLetters", "ledger.deadLetters", "published"].map(
      (name) => (written[name] as readonly unknown[]).length,
    );
    const { topics, ledger, published } = good;
    const lists = [topics.costs, ledger.costs, topics.deadLetters, ledger.deadLetters, published];
    expect(lengths).toEqual(lists.map(({ length }) => length));
    rmSync(folder, { recursive: true });
  });
});
