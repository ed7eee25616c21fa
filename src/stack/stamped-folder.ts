import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { withLock } from "./cache-folders.js";
import { identifyProcess } from "./process-identity.js";

const STAMP_NAME = "stamp.json";

interface Stamp {
  readonly source: string;
  readonly files: Readonly<Record<string, number>>;
}

/**
 * Makes a folder once and reuses it afterwards. It is filled under another name, stamped last with every file's size and
 * renamed into place, so a folder under its final name is complete; a file that went missing or changed its size since
 * makes it be filled again. Safe against other processes that want the same folder.
 * @param source what the content comes from; another source makes another content.
 * @param fill writes the content into the empty folder it is given.
 */
export async function ensureStampedFolder(
  folder: string,
  source: string,
  fill: (emptyFolder: string) => Promise<void>,
): Promise<string> {
  if (isComplete(folder, source)) return folder;
  return withLock(`${folder}.lock`, async () => {
    // Somebody else may have made it while we waited.
    if (isComplete(folder, source)) return folder;
    removeAbandoned(folder);
    const filling = `${folder}.filling-${String(process.pid)}`;
    mkdirSync(filling, { recursive: true, mode: 0o755 });
    await fill(filling).catch((error: unknown) => {
      rmSync(filling, { recursive: true, force: true });
      throw error;
    });
    const stamp: Stamp = { source, files: sizesBelow(filling) };
    if (Object.keys(stamp.files).length === 0) throw new Error(`nothing was written into ${filling}`);
    writeFileSync(join(filling, STAMP_NAME), JSON.stringify(stamp));
    rmSync(folder, { recursive: true, force: true });
    renameSync(filling, folder);
    return folder;
  });
}

// What a process that was killed while filling has left. Named by process id, so that the living are left alone.
function removeAbandoned(folder: string): void {
  const parent = dirname(folder);
  const prefix = `${basename(folder)}.filling-`;
  for (const name of readdirSync(parent).filter((other) => other.startsWith(prefix))) {
    if (identifyProcess(Number(name.slice(prefix.length))) === null)
      rmSync(join(parent, name), { recursive: true, force: true });
  }
}

function isComplete(folder: string, source: string): boolean {
  const file = join(folder, STAMP_NAME);
  if (!existsSync(file)) return false;
  try {
    // Written by ourselves below the cache folder; what is broken is treated as missing.
    const stamp = JSON.parse(readFileSync(file, "utf8")) as Stamp;
    if (stamp.source !== source) return false;
    return Object.entries(stamp.files).every(([name, bytes]) => statSync(join(folder, name)).size === bytes);
  } catch {
    return false;
  }
}

function sizesBelow(folder: string): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    sizes[path.slice(folder.length + 1)] = statSync(path).size;
  }
  return sizes;
}
