import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { FileJournal } from "../../src/adapters/journal/file-journal.js";
import { sessionNo } from "../../src/domain/ids.js";
import type { FinishedCall } from "../../src/ports/ledger.js";
import { answerTo, LedgerBench } from "../contract/ledger-bench.js";
import { logInto } from "../support/work.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";

const START_MS = 1_790_000_000_000;
const MIB = 1_048_576;
let folder: string;
let lines: string[];
let calls: readonly FinishedCall[];
beforeEach(async () => {
  folder = join(mkdtempSync(join(tmpdir(), "sluice-journal-")), "router-1");
  lines = [];
  const nowMs = (): number => START_MS;
  const ledger = new MemoryLedger(new MemoryDatabase(nowMs), { step: () => Promise.resolve(), breaks: () => "no" });
  const bench = await LedgerBench.start({ ledger, nowMs, close: () => Promise.resolve() });
  calls = await Promise.all(
    ["one", "two", "three"].map(async (prompt) => {
      const held = await bench.start({ jobId: prompt, tenant: "catalogue", prompt });
      return bench.ended(held, answerTo(prompt));
    }),
  );
});
afterEach(() => {
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

const journal = (session: number, bytesMax = MIB): FileJournal =>
  new FileJournal({ folder, session: sessionNo(session), bytesMax, log: logInto(lines) });
const files = (): readonly string[] => readdirSync(folder).sort();
const onlyFile = (): string => join(folder, files()[0] ?? "none");

/** A session that was killed: it kept these and says nothing more. */
async function killedWith(kept: readonly FinishedCall[]): Promise<FileJournal> {
  const killed = journal(1);
  for (const call of kept) killed.keep(call);
  await turn();
  return killed;
}

describe("a journal in files", () => {
  test("gives the answers of a killed session to the next one, as they were, until that one has them", async () => {
    await killedWith(calls);
    const next = journal(2);
    const earlier = await next.earlier();
    expect(earlier.calls).toEqual(calls);
    for (const call of earlier.calls) next.keep(call);
    earlier.forget();
    // Killed as well, at once: nothing is lost on the way.
    expect((await journal(3).earlier()).calls).toEqual(calls);
    next.stored(calls);
    next.close();
    expect(files()).toEqual([]);
  });

  test("writes what one turn of the event loop keeps at its end, for its owner only", async () => {
    const one = journal(1);
    one.keep(calls[0]!);
    one.keep(calls[1]!);
    expect(files()).toEqual([]);
    await turn();
    expect(files()).toEqual(["1-1.answers"]);
    expect(statSync(onlyFile()).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect((await journal(2).earlier()).calls).toEqual(calls.slice(0, 2));
  });

  test("leaves nothing behind when all is stored, in the same turn too", async () => {
    const one = journal(1);
    one.keep(calls[0]!);
    one.stored([calls[0]!]);
    one.keep(calls[1]!);
    await turn();
    one.stored([calls[1]!, calls[2]!]);
    one.close();
    expect(files()).toEqual([]);
  });

  test("keeps those for the next session that this one could not store", async () => {
    const one = await killedWith(calls);
    one.stored([calls[1]!]);
    one.close();
    const earlier = await journal(1).earlier();
    // The ledger says what it has; the file is removed as a whole.
    expect(earlier.calls).toEqual(calls);
    earlier.forget();
    expect(files()).toEqual([]);
  });

  test("gives out the answers before the place where a file was cut off, wherever that is", async () => {
    await killedWith(calls);
    const whole = readFileSync(onlyFile());
    const found = new Set<number>();
    for (let size = whole.length - 1; size >= 0; size -= 5) {
      truncateSync(onlyFile(), size);
      const { calls: left } = await journal(2).earlier();
      expect(left).toEqual(calls.slice(0, left.length));
      found.add(left.length);
    }
    expect([...found]).toEqual([2, 1, 0]);
  });

  test("never gives out a damaged answer, nor what follows it", async () => {
    await killedWith(calls);
    const whole = readFileSync(onlyFile());
    for (let at = 0; at < whole.length; at += 11) {
      const damaged = Buffer.from(whole);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
      writeFileSync(onlyFile(), damaged);
      const { calls: left } = await journal(2).earlier();
      expect(left.length).toBeLessThan(calls.length);
      expect(left).toEqual(calls.slice(0, left.length));
    }
  });

  test("passes over zeros at a file's end, as a machine leaves them that lost its power", async () => {
    await killedWith(calls);
    appendFileSync(onlyFile(), Buffer.alloc(4096));
    expect((await journal(2).earlier()).calls).toEqual(calls);
  });

  test("says so when a file is of another version, and removes it", async () => {
    await killedWith(calls);
    writeFileSync(onlyFile(), "sluice-answers 0\n and something else");
    const earlier = await journal(2).earlier();
    expect(earlier.calls).toEqual([]);
    expect(lines.join("\n")).toContain("journal.file_unusable");
    earlier.forget();
    expect(files()).toEqual([]);
  });

  test("holds no more than its bound, says so once, and keeps on when there is room again", async () => {
    const bytes = (await killedWith([calls[0]!]), statSync(onlyFile()).size);
    rmSync(onlyFile());
    const small = journal(2, Math.ceil(bytes * 1.5));
    small.keep(calls[0]!);
    small.keep(calls[1]!);
    small.keep(calls[2]!);
    await turn();
    expect(lines.filter((line) => line.includes("journal.full"))).toHaveLength(1);
    expect((await journal(3).earlier()).calls).toEqual([calls[0]]);
    small.close();
  });

  test("keeps a long run of answers in files that go as they are stored", async () => {
    const one = journal(1, 40_000);
    for (let round = 0; round < 200; round += 1) {
      for (const call of calls) one.keep(call);
      await turn();
      one.stored(calls);
    }
    expect(lines).toEqual([]);
    expect(files().length).toBeLessThan(3);
    one.close();
    expect(files()).toEqual([]);
  });

  test("does not stand in the way when its disk fails: it says so, and keeps nothing more", async () => {
    const one = journal(1);
    rmSync(folder, { recursive: true });
    one.keep(calls[0]!);
    await turn();
    one.keep(calls[1]!);
    one.stored(calls);
    one.close();
    expect(lines.filter((line) => line.includes("journal.write_failed"))).toHaveLength(1);
  });

  test("refuses a folder that can't be one, with the key to change", () => {
    const file = join(folder, "..", "a file");
    writeFileSync(file, "");
    expect(
      () => new FileJournal({ folder: join(file, "x"), session: sessionNo(1), bytesMax: MIB, log: logInto([]) }),
    ).toThrow(/storage\.journal\.folder/);
  });
});
