import { execFile } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { ensureMavenArtifact, MAVEN_ARTIFACTS } from "./maven-artifacts.js";
import {
  CHECK_TIMEOUT_MS,
  type LaunchContext,
  serverEnvironment,
  type ServerKind,
  stopGraceMs,
  volumeOptions,
} from "./server-kind.js";

const runFile = promisify(execFile);

/** Redis: the program that a Maven artifact carries (the same version everywhere), else `redis-server` on the path. */
export const REDIS_SERVER: ServerKind = {
  name: "redis",
  environmentVariable: "REDIS_URL",
  images: ["redis:7.2-alpine", "redis:7.2", "redis:7"],
  prepare: findRedis,
  planNative: async (program, context) => {
    const port = await portOf(context);
    const address = `redis://127.0.0.1:${String(port)}`;
    const data = join(context.dataFolder, "redis");
    mkdirSync(data, { recursive: true });
    const spec = {
      kind: "process",
      name: "redis",
      command: program,
      args: ["--port", String(port), "--bind", "127.0.0.1", "--dir", data, ...KEEPING],
      env: serverEnvironment(),
      workingFolder: data,
      user: null,
      logFile: join(context.dataFolder, "redis.log"),
      stopSignal: "SIGTERM",
      stopGraceMs: stopGraceMs(context),
    } as const;
    return { address, members: [{ address, spec }] };
  },
  planContainer: async (image, context) => {
    const port = await portOf(context);
    const address = `redis://127.0.0.1:${String(port)}`;
    const spec = {
      kind: "container",
      name: "redis",
      command: "docker",
      containerName: `sluice-redis-${String(port)}`,
      runArguments: [
        ...["--publish", `127.0.0.1:${String(port)}:6379`],
        ...volumeOptions(context, "redis"),
        ...[image, "redis-server", ...KEEPING],
      ],
      logFile: join(context.dataFolder, "redis.log"),
      stopSignal: "SIGTERM",
      stopGraceMs: stopGraceMs(context),
    } as const;
    return { address, members: [{ address, spec }] };
  },
  check: checkRedis,
};

/** A log of writes instead of snapshots, so that a kill loses at most the last second. */
const KEEPING = ["--save", "", "--appendonly", "yes"];

async function portOf(context: LaunchContext): Promise<number> {
  const [port] = await context.ports("redis", 1);
  if (port === undefined) throw new Error("no port for Redis");
  return port;
}

async function findRedis(say: (line: string) => void): Promise<string> {
  const tried: string[] = [];
  for (const find of [() => findDownloaded(say), () => Promise.resolve("redis-server")]) {
    try {
      // One after another: the path is asked only when the download is of no use here.
      const program = await find();
      await runFile(program, ["--version"], { timeout: CHECK_TIMEOUT_MS });
      return program;
    } catch (error) {
      tried.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(tried.join("; "));
}

async function findDownloaded(say: (line: string) => void): Promise<string> {
  const folder = await ensureMavenArtifact(MAVEN_ARTIFACTS.redis, say);
  const suffix = `${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
  const name = readdirSync(folder).find((candidate) => candidate.endsWith(suffix));
  if (name === undefined) throw new Error(`the Redis artifact holds no program for ${suffix}`);
  chmodSync(join(folder, name), 0o755);
  return join(folder, name);
}

async function checkRedis(address: string): Promise<void> {
  const redis = new Redis(address, {
    lazyConnect: true,
    connectTimeout: CHECK_TIMEOUT_MS,
    commandTimeout: CHECK_TIMEOUT_MS,
    // The default of 2 s would hold up the end of a process that has only asked.
    disconnectTimeout: 100,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}
