import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import type { Config } from "./config.js";
import { ConfigError, type ConfigProblem } from "./config-error.js";
import type { Environment } from "./interpolate.js";
import { unusedKeys } from "./not-used.js";
import { parseConfig } from "./parse.js";

const CONFIG_BYTES_MAX = 4_194_304;
const SECRET_BYTES_MAX = 262_144;

/**
 * Loads the config file once, at start. `prices.file` comes out absolute, resolved against the config's folder.
 * @throws `ConfigError` with every problem, also when the file can't be read.
 */
export function loadConfig(file: string, env: Environment): Config {
  const outcome = parseConfig(readConfigText(file), env, (path) => readBounded(path, SECRET_BYTES_MAX));
  if (!outcome.ok) throw new ConfigError(file, outcome.problems);
  const { prices } = outcome.config;
  if (prices.file === null || isAbsolute(prices.file)) return outcome.config;
  return Object.freeze({ ...outcome.config, prices: Object.freeze({ file: resolve(dirname(file), prices.file) }) });
}

/** What the file says that has no effect yet. @throws `ConfigError` when it can't be read. */
export function unusedKeysOf(file: string): readonly ConfigProblem[] {
  return unusedKeys(readConfigText(file));
}

function readConfigText(file: string): string {
  try {
    return readBounded(file, CONFIG_BYTES_MAX);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `can't read the config file: ${reason}; name one with --config FILE or SLUICE_CONFIG`;
    throw new ConfigError(file, [{ path: "", line: 1, column: 1, message }], { cause: error });
  }
}

function readBounded(path: string, bytesMax: number): string {
  const { size } = statSync(path);
  if (size > bytesMax) throw new Error(`${path} is larger than ${String(bytesMax)} bytes`);
  return readFileSync(path, "utf8");
}
