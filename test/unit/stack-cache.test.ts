import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { isOpenToAll, withLock } from "../../src/stack/cache-folders.js";
import { findFreePorts, isFreePort } from "../../src/stack/free-ports.js";
import { PortBook } from "../../src/stack/port-book.js";
import { ensureStampedFolder } from "../../src/stack/stamped-folder.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("a folder in the cache", () => {
  let fills = 0;
  const fill = (empty: string): Promise<void> => {
    fills += 1;
    mkdirSync(join(empty, "lib"));
    writeFileSync(join(empty, "lib", "server.jar"), "0123456789");
    return Promise.resolve();
  };
  beforeEach(() => {
    fills = 0;
  });

  test("is filled once and reused", async () => {
    const target = join(folder, "server");
    expect(await ensureStampedFolder(target, "pom 1", fill)).toBe(target);
    await ensureStampedFolder(target, "pom 1", fill);
    expect(fills).toBe(1);
    expect(readFileSync(join(target, "lib", "server.jar"), "utf8")).toBe("0123456789");
  });

  test.each([
    [
      "a file was cut off",
      (target: string) => {
        truncateSync(join(target, "lib", "server.jar"), 4);
      },
    ],
    [
      "a file is missing",
      (target: string) => {
        rmSync(join(target, "lib", "server.jar"));
      },
    ],
    [
      "the stamp is broken",
      (target: string) => {
        writeFileSync(join(target, "stamp.json"), "{");
      },
    ],
  ])("is filled again when %s", async (_, damage) => {
    const target = join(folder, "server");
    await ensureStampedFolder(target, "pom 1", fill);
    damage(target);
    await ensureStampedFolder(target, "pom 1", fill);
    expect(fills).toBe(2);
    expect(readFileSync(join(target, "lib", "server.jar"), "utf8")).toBe("0123456789");
  });

  test("is filled again from another source", async () => {
    await ensureStampedFolder(join(folder, "server"), "pom 1", fill);
    await ensureStampedFolder(join(folder, "server"), "pom 2", fill);
    expect(fills).toBe(2);
  });

  test("is filled once when several want it at the same time", async () => {
    await Promise.all([1, 2, 3].map(() => ensureStampedFolder(join(folder, "server"), "pom 1", fill)));
    expect(fills).toBe(1);
  });

  test("does not exist after a download that failed, and can be tried again", async () => {
    const target = join(folder, "server");
    const failing = ensureStampedFolder(target, "pom 1", () => Promise.reject(new Error("line down")));
    await expect(failing).rejects.toThrow("line down");
    expect(readdirSync(folder)).toEqual([]);
    await ensureStampedFolder(target, "pom 1", fill);
    expect(fills).toBe(1);
  });

  test("is not taken for complete when nothing was written into it", async () => {
    const target = join(folder, "server");
    await expect(ensureStampedFolder(target, "pom 1", () => Promise.resolve())).rejects.toThrow("nothing was written");
    expect(existsSync(target)).toBe(false);
  });
});

describe("a lock", () => {
  test("of a process that has ended is taken over", async () => {
    const lock = join(folder, "lock");
    mkdirSync(lock);
    // This process has the id, but started at another time: the holder is gone.
    writeFileSync(join(lock, "holder.json"), JSON.stringify({ pid: process.pid, startTime: "1" }));
    expect(await withLock(lock, () => Promise.resolve("done"))).toBe("done");
    expect(existsSync(lock)).toBe(false);
  });

  test("lets one in at a time", async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all([1, 2, 3].map(() => withLock(join(folder, "lock"), work)));
    expect(most).toBe(1);
  });
});

describe("ports", () => {
  test("are different, free, and below the range that outgoing connections use", async () => {
    const ports = await findFreePorts(5);
    expect(new Set(ports).size).toBe(5);
    for (const port of ports) {
      expect(port).toBeGreaterThanOrEqual(15_000);
      expect(port).toBeLessThan(30_000);
      expect(await isFreePort(port)).toBe(true);
    }
  });

  test("stay the same for a data folder, and are given to one server only", async () => {
    const first = new PortBook(folder);
    const [kafka, redis] = await Promise.all([first.portsFor("kafka", 2), first.portsFor("redis", 1)]);
    expect(new Set([...kafka, ...redis]).size).toBe(3);
    expect(await new PortBook(folder).portsFor("kafka", 2)).toEqual(kafka);
  });
});

test("a folder below a closed one is not open to all", () => {
  const inner = join(folder, "inner");
  mkdirSync(inner, { mode: 0o755 });
  // `mkdtemp` makes folders that only their owner may enter.
  expect(isOpenToAll(inner)).toBe(false);
  expect(isOpenToAll("/")).toBe(true);
});
