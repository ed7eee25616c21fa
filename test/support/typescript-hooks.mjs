import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { transform } from "@swc/core";

/**
 * Node's hooks for a thread that imports the TypeScript of this repository without Jest around it. Jest runs modules in a context of
 * its own, where each use of a global and each promise costs several times as much.
 *
 * A module that is imported with `?built=URL` takes what it needs of src from there, which is the folder of a build, and so does every
 * module that it imports: the same simulation runs on a changed copy of the product.
 */
const SWC = {
  swcrc: false,
  sourceMaps: "inline",
  jsc: { target: "es2022", parser: { syntax: "typescript" } },
  module: { type: "es6" },
};
const SOURCES = new URL("../../src/", import.meta.url).href;

function isTypeScript(url) {
  return /^file:[^?]*\.ts(\?|$)/.test(url);
}

/** Sources name each other by what they become, with `.js`. */
export function resolve(specifier, context, next) {
  const { parentURL } = context;
  if (!specifier.startsWith(".") || !specifier.endsWith(".js") || parentURL === undefined || !isTypeScript(parentURL))
    return next(specifier, context);
  const { search, searchParams } = new URL(parentURL);
  const wanted = new URL(specifier, parentURL).href;
  const built = searchParams.get("built");
  if (built !== null && wanted.startsWith(SOURCES))
    return { url: new URL(wanted.slice(SOURCES.length), built).href, format: "module", shortCircuit: true };
  const source = `${wanted.slice(0, -".js".length)}.ts`;
  if (!existsSync(fileURLToPath(source))) return next(specifier, context);
  return { url: `${source}${search}`, shortCircuit: true };
}

export async function load(url, context, next) {
  if (!isTypeScript(url)) return next(url, context);
  const filename = fileURLToPath(url);
  const { code } = await transform(await readFile(filename, "utf8"), { ...SWC, filename });
  return { format: "module", source: code, shortCircuit: true };
}
