import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
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
import type { EarlierWork } from "../../src/ports/journal.js";
import type { FinishedCall } from "../../src/ports/ledger.js";
import { answerTo, LedgerBench } from "../contract/ledger-bench.js";
import { logInto } from "../support/work.js";
import { MemoryDatabase } from "../support/simulation/memory-database.js";
import { MemoryLedger } from "../support/simulation/memory-ledger.js";

const START_MS = 1_790_000_000_000;
const MIB = 1_048_576;
let folder: string;
let lines: string[];
const journals: FileJournal[] = [];
const children: ChildProcess[] = [];
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
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const opened of journals.splice(0)) opened.close();
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

/** As at the time of a session with this number; another stamp is of another ledger. */
const journal = async (session: number, bytesMax = MIB, stamp = "1790000000.123456"): Promise<FileJournal> => {
  const opened = await FileJournal.open({ folder, session: sessionNo(session), stamp, bytesMax, log: logInto(lines) });
  journals.push(opened);
  return opened;
};
/** Of answers. */
const files = (): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".answers"))
    .sort();
const onlyFile = (): string => join(folder, files()[0] ?? "none");

/** A session that was killed: it kept these and says nothing more. */
async function killedWith(kept: readonly FinishedCall[]): Promise<FileJournal> {
  const killed = await journal(1);
  for (const call of kept) killed.keep(call);
  await turn();
  return killed;
}

/** The answers that a session of this number would find. */
async function leftFor(session: number): Promise<readonly FinishedCall[]> {
  const next = await journal(session);
  const { answers } = await next.earlier();
  next.close();
  return answers;
}

describe("a journal in files", () => {
  test("gives the answers of a killed session to the next one, as they were, until that one has them", async () => {
    await killedWith(calls);
    const next = await journal(2);
    const earlier = await next.earlier();
    expect(earlier.answers).toEqual(calls);
    for (const call of earlier.answers) next.keep(call);
    earlier.forget();
    // Killed as well, at once: nothing is lost on the way.
    expect(await leftFor(3)).toEqual(calls);
    next.stored(calls);
    next.close();
    expect(files()).toEqual([]);
  });

  test("writes what one turn of the event loop keeps at its end, for its owner only", async () => {
    const one = await journal(1);
    one.keep(calls[0]!);
    one.keep(calls[1]!);
    expect(files()).toEqual([]);
    await turn();
    expect(files()).toEqual(["1-1.answers"]);
    expect(statSync(onlyFile()).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(await leftFor(2)).toEqual(calls.slice(0, 2));
  });

  test("leaves nothing behind when all is stored, in the same turn too", async () => {
    const one = await journal(1);
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
    const earlier = await (await journal(1)).earlier();
    // The ledger says what it has; the file is removed as a whole.
    expect(earlier.answers).toEqual(calls);
    earlier.forget();
    expect(files()).toEqual([]);
  });

  test("gives out the answers before the place where a file was cut off, wherever that is", async () => {
    await killedWith(calls);
    const whole = readFileSync(onlyFile());
    const found = new Set<number>();
    for (let size = whole.length - 1; size >= 0; size -= 5) {
      truncateSync(onlyFile(), size);
      const left = await leftFor(2);
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
      const left = await leftFor(2);
      expect(left.length).toBeLessThan(calls.length);
      expect(left).toEqual(calls.slice(0, left.length));
    }
  });

  test("passes over zeros at a file's end, as a machine leaves them that lost its power", async () => {
    await killedWith(calls);
    appendFileSync(onlyFile(), Buffer.alloc(4096));
    expect(await leftFor(2)).toEqual(calls);
  });

  test("says so when a file is of another version, and removes it", async () => {
    await killedWith(calls);
    writeFileSync(onlyFile(), "sluice-answers 0\n and something else");
    const earlier = await (await journal(2)).earlier();
    expect(earlier.answers).toEqual([]);
    expect(lines.join("\n")).toContain("journal.file_unusable");
    earlier.forget();
    expect(files()).toEqual([]);
  });

  test("holds no more than its bound, says so once, and keeps on when there is room again", async () => {
    const bytes = (await killedWith([calls[0]!]), statSync(onlyFile()).size);
    rmSync(onlyFile());
    const small = await journal(2, Math.ceil(bytes * 1.5));
    small.keep(calls[0]!);
    small.keep(calls[1]!);
    small.keep(calls[2]!);
    await turn();
    expect(lines.filter((line) => line.includes("journal.full"))).toHaveLength(1);
    expect(await leftFor(3)).toEqual([calls[0]]);
    small.close();
  });

  test("keeps a long run of answers in files that go as they are stored", async () => {
    const one = await journal(1, 40_000);
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
    const one = await journal(1);
    rmSync(folder, { recursive: true });
    one.keep(calls[0]!);
    await turn();
    one.keep(calls[1]!);
    one.stored(calls);
    one.close();
    expect(lines.filter((line) => line.includes("journal.write_failed"))).toHaveLength(1);
  });

  test("refuses a folder that can't be one, with the key to change", async () => {
    const file = join(folder, "..", "a file");
    writeFileSync(file, "");
    const options = { session: sessionNo(1), stamp: "1", bytesMax: MIB, log: logInto([]) };
    await expect(FileJournal.open({ ...options, folder: join(file, "x") })).rejects.toThrow(/storage\.journal\.folder/);
  });
});

const CHILD = new URL("../support/journal-child.mjs", import.meta.url).pathname;

/** A process with a session of its own that notes these sends. */
async function childThatSent(
  attempts: readonly number[],
  session = 7,
  stamp = "1790000000.000007",
): Promise<ChildProcess> {
  const child = spawn(process.execPath, [CHILD, folder, String(session), stamp, ...attempts.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  await once(child.stdout, "data"); // it has noted them
  return child;
}

async function endedFor(session: number): Promise<EarlierWork["ended"]> {
  const next = await journal(session, MIB, "1790000000.999999");
  const { ended } = await next.earlier();
  next.close();
  return ended;
}

describe("what was not sent", () => {
  test("is proved once the process is killed, and not while it lives or is stopped", async () => {
    const child = await childThatSent([11, 12, 4_294_967_297]);
    expect(await endedFor(8)).toEqual([]);
    child.kill("SIGSTOP");
    expect(await endedFor(8)).toEqual([]);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await endedFor(8)).toEqual([
      { session: 7, stamp: "1790000000.000007", mayHaveSent: new Set([11, 12, 4_294_967_297]) },
    ]);
  });

  test("stays proved until the next session has seen to it", async () => {
    const child = await childThatSent([]);
    child.kill("SIGKILL");
    await once(child, "exit");
    const next = await journal(8);
    const earlier = await next.earlier();
    expect(earlier.ended).toEqual([{ session: 7, stamp: "1790000000.000007", mayHaveSent: new Set() }]);
    expect(await endedFor(9)).toEqual(earlier.ended);
    earlier.forget();
    expect(await endedFor(9)).toEqual([]);
  });

  test("is not proved by a file of another start of the machine, nor without its socket, nor by a file that lost its beginning", async () => {
    for (const spoil of [
      (sends: string) => {
        writeFileSync(sends, readFileSync(sends, "utf8").replace(/"bootId":"[^"]{8}/, '"bootId":"00000000'));
      },
      (sends: string) => {
        rmSync(sends.replace(/sends$/, "alive"));
      },
      (sends: string) => {
        truncateSync(sends, 10);
      },
    ]) {
      const child = await childThatSent([11]);
      child.kill("SIGKILL");
      await once(child, "exit");
      const [sends = ""] = readdirSync(folder).filter((name) => name.startsWith("7-") && name.endsWith(".sends"));
      spoil(join(folder, sends));
      expect(await endedFor(8)).toEqual([]);
      rmSync(folder, { recursive: true });
    }
  });

  test("counts a note that was cut off as not sent: its byte had to wait for the whole note", async () => {
    const child = await childThatSent([11, 12]);
    child.kill("SIGKILL");
    await once(child, "exit");
    const [sends = ""] = readdirSync(folder).filter((name) => name.startsWith("7-") && name.endsWith(".sends"));
    truncateSync(join(folder, sends), statSync(join(folder, sends)).size - 3);
    expect(await endedFor(8)).toMatchObject([{ mayHaveSent: new Set([11]) }]);
  });

  test("needs no more room for more calls: notes of calls with an outcome go", async () => {
    const one = await journal(1);
    const [sends = ""] = readdirSync(folder).filter((name) => name.endsWith(".sends"));
    const head = statSync(join(folder, sends)).size;
    const noted = new Set<boolean>();
    for (let no = 1; no <= 131_073; no += 1) {
      noted.add(one.sending(no));
      if (no > 3) one.stored([{ ...calls[0]!, attempt: { ...calls[0]!.attempt, no } }]);
    }
    expect(noted).toEqual(new Set([true]));
    // Written anew with the three that are open, and the one that came last.
    expect(statSync(join(folder, sends)).size).toBe(head + 4 * 8);
  });
});
