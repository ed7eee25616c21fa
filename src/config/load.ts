import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { AccountConfig, Config } from "./config.js";
import { ConfigError, type ConfigProblem } from "./config-error.js";
import type { Environment } from "./interpolate.js";
import { unusedKeys } from "./not-used.js";
import { parseConfig } from "./parse.js";
import type { KnownKind } from "./schema.js";

const CONFIG_BYTES_MAX = 4_194_304;
const SECRET_BYTES_MAX = 262_144;

/**
 * Loads the config file once, at start. Names of price files come out absolute, resolved against the config's folder.
 * @param kinds every kind of provider that there is.
 * @throws `ConfigError` with every problem, also when the file can't be read.
 */
export function loadConfig(file: string, env: Environment, kinds: readonly KnownKind[]): Config {
  const outcome = parseConfig(readConfigText(file), env, (path) => readBounded(path, SECRET_BYTES_MAX), kinds);
  if (!outcome.ok) throw new ConfigError(file, outcome.problems);
  return withPriceFiles(outcome.config, (name) => resolve(dirname(file), name));
}

/** @param absolute leaves a name alone that is absolute. */
function withPriceFiles(config: Config, absolute: (name: string) => string): Config {
  const providers = Object.create(null) as Record<string, AccountConfig>; // Object.create returns any
  for (const [name, account] of Object.entries(config.providers)) {
    const { prices } = account;
    const own = prices !== null && "file" in prices ? Object.freeze({ file: absolute(prices.file) }) : prices;
    providers[name] = Object.freeze({ ...account, prices: own });
  }
  const { file } = config.prices;
  const prices = Object.freeze({ file: file === null ? null : absolute(file) });
  return Object.freeze({ ...config, prices, providers: Object.freeze(providers) });
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
