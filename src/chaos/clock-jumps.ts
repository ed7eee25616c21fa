import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cacheFolder } from "../stack/cache-folders.js";

const runFile = promisify(execFile);

/** Where Debian's package puts it, by machine. */
const LIBRARY_FOLDERS: Readonly<Record<string, string>> = {
  x64: "usr/lib/x86_64-linux-gnu/faketime",
  arm64: "usr/lib/aarch64-linux-gnu/faketime",
};
/** For programs with several threads, as Node is. */
const LIBRARY_NAME = "libfaketimeMT.so.1";
const FETCH_TIMEOUT_MS = 60_000;

/**
 * Finds libfaketime: installed, in the cache folder, or fetched there through apt without installing anything.
 * @returns the library, or in words why it can't be had.
 */
export async function findClockLibrary(): Promise<{ readonly file: string } | { readonly why: string }> {
  const folder = LIBRARY_FOLDERS[process.arch];
  if (process.platform !== "linux" || folder === undefined)
    return {
      why: `libfaketime is looked for on Linux only, on x64 and arm64; this is ${process.platform} ${process.arch}`,
    };
  const cached = join(cacheFolder(), "libfaketime");
  const found = [join("/", folder, LIBRARY_NAME), join(cached, folder, LIBRARY_NAME)].find((file) => existsSync(file));
  if (found !== undefined) return { file: found };
  try {
    await fetchPackage(cached);
    return { file: join(cached, folder, LIBRARY_NAME) };
  } catch (error) {
    const message = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    return { why: `libfaketime is not installed, and apt-get can't fetch it: ${message}` };
  }
}

async function fetchPackage(into: string): Promise<void> {
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder(), "libfaketime-"));
  try {
    await runFile("apt-get", ["download", "libfaketime"], { cwd: folder, timeout: FETCH_TIMEOUT_MS });
    const archive = readdirSync(folder).find((name) => name.endsWith(".deb"));
    if (archive === undefined) throw new Error("apt-get brought no package");
    await runFile("dpkg-deb", ["-x", join(folder, archive), join(folder, "files")], { timeout: FETCH_TIMEOUT_MS });
    rmSync(into, { recursive: true, force: true });
    renameSync(join(folder, "files"), into);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The wall clock of one router: a file that the preloaded library reads again and again. Its monotonic clock runs on. */
export class RouterClock {
  readonly #library: string;
  readonly #file: string;

  /** @param file rewritten at each jump. */
  constructor(library: string, file: string) {
    this.#library = library;
    this.#file = file;
  }

  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      FAKETIME_CACHE_DURATION: "1",
    };
  }

  /** So far from the true time from now on; seen within a second. */
  async set(offsetMs: number): Promise<void> {
    const seconds = Math.round(offsetMs / 1000);
    await writeFile(this.#file, `${seconds < 0 ? "-" : "+"}${String(Math.abs(seconds))}\n`);
  }
}
