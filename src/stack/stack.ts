import { OwnServers } from "./own-servers.js";
import { messageOf, type ServerName } from "./server-kind.js";
import { SERVER_KINDS } from "./server-kinds.js";
import type { RunningServer, Stack, StackOptions } from "./stack-types.js";

export type { FrontedListener, ServerName } from "./server-kind.js";
export type { RunningServer, ServerOrigin, Stack, StackAddresses, StackOptions } from "./stack-types.js";

/** A server that the environment names does not answer. */
export class ServerUnreachableError extends Error {
  override readonly name = "ServerUnreachableError";
}

interface FoundServer {
  readonly name: ServerName;
  readonly address: string;
  readonly servers: readonly RunningServer[];
}

/**
 * Finds or starts servers and waits until each answers. In this order for each: an address in the environment
 * (KAFKA_BROKERS, DATABASE_URL, SCHEMA_REGISTRY_URL, REDIS_URL); a Docker engine that has an image already; a program of
 * our own (Kafka and the registry through Maven, PostgreSQL through npm, Redis through Maven or the path).
 * What was started ends with this process, however that ends, unless `detach` was called.
 * @throws ServerUnreachableError for an address of the environment where nothing answers; Error that says for a server that can't be had
 * what was tried. What was started before is ended again.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const names = [...new Set(options.servers)];
  const given = options.own === true ? [] : names.filter((name) => environmentAddress(name) !== "");
  const missing = names.filter((name) => !given.includes(name));
  const found = await Promise.all(given.map(findInEnvironment));
  if (missing.length === 0) return stackOf(found, null);
  const own = await OwnServers.open(options);
  try {
    return stackOf([...found, ...(await own.startAll(missing))], own);
  } catch (error) {
    await own.stop();
    throw error;
  }
}

function stackOf(found: readonly FoundServer[], own: OwnServers | null): Stack {
  const addressOf = (name: ServerName): string => found.find((server) => server.name === name)?.address ?? "";
  return {
    addresses: {
      kafkaBrokers: addressOf("kafka"),
      databaseUrl: addressOf("postgres"),
      registryUrl: addressOf("registry"),
      redisUrl: addressOf("redis"),
    },
    servers: found.flatMap(({ servers }) => servers),
    supervisor: own?.supervisor ?? null,
    stop: async () => own?.stop(),
    detach: async () => own?.detach(),
  };
}

function environmentAddress(name: ServerName): string {
  return (process.env[SERVER_KINDS[name].environmentVariable] ?? "").replace(/\/$/, "");
}

async function findInEnvironment(name: ServerName): Promise<FoundServer> {
  const kind = SERVER_KINDS[name];
  const address = environmentAddress(name);
  // An address that was given is meant: when it does not answer, starting something else would hide the mistake.
  await kind.check(address).catch((error: unknown) => {
    throw new ServerUnreachableError(
      `${name}: ${kind.environmentVariable} is set, but nothing answers there: ${messageOf(error)}`,
    );
  });
  const refuse = (): Promise<never> =>
    Promise.reject(new Error(`${name} comes from ${kind.environmentVariable}; it is not ours to stop`));
  return {
    name,
    address,
    servers: [{ name, kind: name, how: "environment", address, pid: null, kill: refuse, restart: refuse }],
  };
}
