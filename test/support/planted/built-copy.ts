import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { applyHunks, type PlantedPatch, PlantedPatchError } from "./planted-patch.js";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const MAIN = join("dist", "cli", "main.js");

/** A copy of the built product, to be changed without changing the one that others run. */
export class BuiltCopy {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param patch what is changed in it; null: nothing. @throws PlantedPatchError when the patch does not apply. */
  static make(patch: PlantedPatch | null): BuiltCopy {
    if (!existsSync(join(ROOT, MAIN))) throw new Error("expected a build in dist/; run npm run build");
    const copy = new BuiltCopy(mkdtempSync(join(tmpdir(), "sluice-planted-")));
    try {
      copy.#fill(patch);
      return copy;
    } catch (error) {
      copy.remove();
      throw error;
    }
  }

  get main(): string {
    return join(this.folder, MAIN);
  }

  /** Where the modules of src are, built. */
  get built(): string {
    return pathToFileURL(join(this.folder, "dist", "/")).href;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #fill(patch: PlantedPatch | null): void {
    const isRun = (file: string): boolean => !file.endsWith(".d.ts") && !file.endsWith(".map");
    for (const name of ["dist", "schemas", "package.json"])
      cpSync(join(ROOT, name), join(this.folder, name), { recursive: true, filter: isRun });
    symlinkSync(join(ROOT, "node_modules"), join(this.folder, "node_modules"));
    for (const [file, text] of patch === null ? [] : patchedFiles(patch)) writeFileSync(join(this.folder, file), text);
  }
}

/** What a patch makes of the files of the build. @throws PlantedPatchError when it does not apply. */
export function patchedFiles({ name, files }: PlantedPatch): readonly (readonly [string, string])[] {
  return [...files].map(([file, hunks]) => {
    if (!existsSync(join(ROOT, file))) throw new PlantedPatchError(`${name}: the build has no ${file}`);
    return [file, applyHunks(`${name}, ${file}`, readFileSync(join(ROOT, file), "utf8"), hunks)];
  });
}
