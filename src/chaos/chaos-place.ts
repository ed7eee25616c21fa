import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CleanupStack } from "../demo/cleanup-stack.js";
import { DEFAULT_TOPICS } from "../demo/demo-config.js";
import { startSimulator, type SimulatorProcess } from "../demo/simulator-process.js";
import { findFreePorts } from "../stack/free-ports.js";
import { startStack, type RunningServer, type Stack } from "../stack/stack.js";
import { chaosConfig } from "./chaos-config.js";
import type { ChaosOptions } from "./chaos-options.js";
import { findClockLibrary, RouterClock } from "./clock-jumps.js";
import { NetworkProxy } from "./network/network-proxy.js";
import { RouterPaths, type PathName, type ServerPorts } from "./network/router-paths.js";

export const ENVIRONMENT = "chaos";
export const TOPICS = DEFAULT_TOPICS;
export const GROUP_ID = `sluice-${ENVIRONMENT}-intake`;
/** Three that the run keeps alive, and one that comes and goes. */
export const ROUTERS = 3;
const GUESTS = 1;

/** Keys that must be told to nobody but the providers. */
export const PROVIDER_KEYS = {
  OPENAI_API_KEY: "simulated-openai-key-5b1f",
  ANTHROPIC_API_KEY: "simulated-anthropic-key-c7e2",
} as const;

const SIMULATOR_SCRIPT = fileURLToPath(new URL("../simulator/simulator-main.js", import.meta.url));
const PRICING_FILE = fileURLToPath(new URL("../../schemas/pricing.json", import.meta.url));

/** Answers take 100 to 700 ms, so that kills meet calls in the air. */
const LATENCY = { latencyMs: 400, jitterMs: 300 };
/** Batches of half an hour to an hour and a half end in 2.6 to 7.7 s. */
const BATCH_TIME_SCALE = 700;

/** Everything that one router is given. */
export interface RouterPlace {
  readonly name: string;
  readonly configFile: string;
  readonly httpPort: number;
  readonly paths: RouterPaths;
  readonly env: Readonly<Record<string, string>>;
  readonly clock: RouterClock | null;
  readonly logFile: string;
  readonly crashLogFile: string;
}

/** Servers, proxies, the simulated providers and places for routers; no router runs yet. */
export interface ChaosPlace {
  readonly folder: string;
  readonly stack: Stack;
  /** Past all proxies. */
  readonly brokers: readonly string[];
  readonly brokerServers: readonly RunningServer[];
  readonly brokerProxies: readonly NetworkProxy[];
  readonly simulator: SimulatorProcess;
  readonly billFile: string;
  readonly routers: readonly RouterPlace[];
  /** For commands of the operator's, past all proxies. */
  readonly commands: { readonly configFile: string; readonly env: Readonly<Record<string, string>> };
  /** Why clocks can't be jumped; null: they can. */
  readonly noClockJumps: string | null;
}

export interface PlaceOptions {
  readonly options: ChaosOptions;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  readonly onUnexpectedEnd: (error: Error) => void;
}

/** @throws Error when a server can't be had. What was started is in the clean-up by then. */
export async function openPlace({ options, cleanup, signal, say, onUnexpectedEnd }: PlaceOptions): Promise<ChaosPlace> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-chaos-"));
  cleanup.add("folder", async () => {
    if (options.keep) say(`kept: ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  });
  const library = await findClockLibrary();
  if ("why" in library) say(`clocks are not jumped: ${library.why}`);
  const { stack, brokerProxies } = await startServers(options, cleanup, say);
  signal.throwIfAborted();
  const billFile = join(folder, "bill.jsonl");
  const simulator = await startSimulator({
    script: SIMULATOR_SCRIPT,
    billFile,
    pricingFile: PRICING_FILE,
    seed: options.seed,
    logFile: join(folder, "simulator.log"),
    onUnexpectedEnd,
    ...LATENCY,
    moreArgs: ["--time-scale", String(BATCH_TIME_SCALE)],
  });
  cleanup.add("simulator", () => simulator.stop());
  const httpPorts = await findFreePorts(ROUTERS + GUESTS);
  const routers: RouterPlace[] = [];
  for (const [index, httpPort] of httpPorts.entries()) {
    const name = index < ROUTERS ? `router-${String(index + 1)}` : "guest";
    const paths = await RouterPaths.open(name, serverPorts(stack, simulator.url));
    cleanup.add(`proxies of ${name}`, () => paths.close());
    const clock = "file" in library ? new RouterClock(library.file, join(folder, `${name}.clock`)) : null;
    await clock?.set(0);
    const configFile = await writeConfig({ folder, name, httpPort, options });
    routers.push({
      name,
      configFile,
      httpPort,
      paths,
      env: environmentOf({
        stack,
        simulatorUrl: simulator.url,
        brokers: brokerProxies.map((proxy) => `127.0.0.1:${String(proxy.port)}`).join(","),
        portOf: (path) => paths.path(path).port,
      }),
      clock,
      logFile: join(folder, `${name}.log`),
      crashLogFile: join(folder, `${name}.crashes.jsonl`),
    });
  }
  return {
    folder,
    stack,
    brokers: stack.addresses.kafkaBrokers.split(","),
    brokerServers: stack.servers.filter(({ kind }) => kind === "kafka"),
    brokerProxies,
    simulator,
    billFile,
    routers,
    commands: {
      configFile: await writeConfig({ folder, name: "commands", httpPort: 0, options }),
      env: environmentOf({
        stack,
        simulatorUrl: simulator.url,
        brokers: stack.addresses.kafkaBrokers,
        portOf: (path) => serverPorts(stack, simulator.url)[path],
      }),
    },
    noClockJumps: "why" in library ? library.why : null,
  };
}

/** The proxies in front of the brokers come first: brokers have to tell their clients to come to them. */
async function startServers(
  options: ChaosOptions,
  cleanup: CleanupStack,
  say: (line: string) => void,
): Promise<{ readonly stack: Stack; readonly brokerProxies: readonly NetworkProxy[] }> {
  const ports = await findFreePorts(2 * options.brokers);
  const brokerProxies: NetworkProxy[] = [];
  for (let index = 0; index < options.brokers; index += 1) {
    const proxy = await NetworkProxy.open({
      name: `kafka-${String(index + 1)}`,
      targetPort: ports[2 * index] ?? 0,
      listenPort: ports[2 * index + 1] ?? 0,
    });
    cleanup.add(`proxy of ${proxy.name}`, () => proxy.close());
    brokerProxies.push(proxy);
  }
  say(`starting ${String(options.brokers)} brokers, Postgres, schema registry and Redis`);
  const stack = await startStack({
    servers: ["kafka", "postgres", "registry", "redis"],
    brokers: options.brokers,
    // They are killed: nobody else's.
    own: true,
    frontedBrokers: brokerProxies.map((proxy, index) => ({
      listenPort: ports[2 * index] ?? 0,
      advertisedPort: proxy.port,
    })),
    onProgress: say,
  });
  cleanup.add("servers", () => stack.stop());
  return { stack, brokerProxies };
}

function serverPorts({ addresses }: Stack, simulatorUrl: string): ServerPorts {
  const portOf = (url: string): number => Number(new URL(url).port);
  return {
    simulator: portOf(simulatorUrl),
    postgres: portOf(addresses.databaseUrl),
    redis: portOf(addresses.redisUrl),
    registry: portOf(addresses.registryUrl),
  };
}

function environmentOf({
  stack,
  simulatorUrl,
  brokers,
  portOf,
}: {
  readonly stack: Stack;
  readonly simulatorUrl: string;
  readonly brokers: string;
  readonly portOf: (path: PathName) => number;
}): Readonly<Record<string, string>> {
  const { databaseUrl, redisUrl, registryUrl } = stack.addresses;
  const at = (url: string, path: PathName): string => {
    const changed = new URL(url);
    changed.hostname = "127.0.0.1";
    changed.port = String(portOf(path));
    return changed.href.replace(/\/$/, "");
  };
  const providers = at(simulatorUrl, "simulator");
  return {
    KAFKA_BROKERS: brokers,
    DATABASE_URL: at(databaseUrl, "postgres"),
    SCHEMA_REGISTRY_URL: at(registryUrl, "registry"),
    REDIS_URL: at(redisUrl, "redis"),
    OPENAI_BASE_URL: `${providers}/v1`,
    ANTHROPIC_BASE_URL: providers,
    ...PROVIDER_KEYS,
  };
}

async function writeConfig({
  folder,
  name,
  httpPort,
  options,
}: {
  readonly folder: string;
  readonly name: string;
  readonly httpPort: number;
  readonly options: ChaosOptions;
}): Promise<string> {
  const file = join(folder, `${name}.yaml`);
  const { doubt, jobs } = options;
  const journalFolder = join(folder, "journal");
  await writeFile(
    file,
    chaosConfig({ environment: ENVIRONMENT, topics: TOPICS, doubt, jobs, journalFolder, httpPort }),
  );
  return file;
}
