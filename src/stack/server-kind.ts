import { createHash } from "node:crypto";
import type { ServerSpec } from "./server-spec.js";

/** The servers that Sluice needs around it. */
export type ServerName = "kafka" | "postgres" | "registry" | "redis";

/** A broker's second listener: clients that find it are told to come to `advertisedPort` of 127.0.0.1, where whoever made it passes them on. */
export interface FrontedListener {
  readonly listenPort: number;
  readonly advertisedPort: number;
}

/** Where and how a server is to be started. */
export interface LaunchContext {
  /** Holds data, settings and logs of all servers of a stack; every user may enter it. */
  readonly dataFolder: string;
  /** Whether the data outlives this run; then a server gets time to stop in good order. */
  readonly kept: boolean;
  readonly brokers: 1 | 3;
  /** One a broker, or none. */
  readonly frontedListeners: readonly FrontedListener[];
  /** @returns ports of 127.0.0.1 kept under that label for the life of the data folder. */
  ports(label: string, count: number): Promise<readonly number[]>;
}

/** One process or container, and the address by which it alone is asked whether it answers. */
export interface LaunchMember {
  readonly spec: ServerSpec;
  readonly address: string;
}

/** A server ready to be started: usually one member, three for a Kafka cluster. */
export interface Launch {
  readonly address: string;
  readonly members: readonly LaunchMember[];
}

/** All that differs between servers. */
export interface ServerKind {
  readonly name: ServerName;
  readonly environmentVariable: string;
  /** Images that will do, the preferred one first. */
  readonly images: readonly string[];
  /** Fetches the server's files, when they are not there yet. @returns the folder or program. @throws Error naming what was tried. */
  prepare(say: (line: string) => void): Promise<string>;
  /** Writes settings and first data below the data folder. */
  planNative(files: string, context: LaunchContext): Promise<Launch>;
  planContainer(image: string, context: LaunchContext): Promise<Launch>;
  /** Resolves when the server at the address answers, rejects with the reason otherwise; bounded by a few seconds. */
  check(address: string): Promise<void>;
}

/** One question to a server takes at most this long. */
export const CHECK_TIMEOUT_MS = 5_000;

/** How long a server may take to stop in good order: long only where the data is kept. */
export function stopGraceMs(context: LaunchContext): number {
  return context.kept ? 20_000 : 3_000;
}

/**
 * Options of `docker run` for the place where a container keeps its data: a volume by the data folder's name where that is kept, which outlives
 * the container as a native server's files outlive their process; nothing otherwise, and then the data goes with the container.
 */
export function volumeOptions(context: Pick<LaunchContext, "dataFolder" | "kept">, name: ServerName): string[] {
  return context.kept ? ["--volume", `${volumeName(context.dataFolder, name)}:${CONTAINER_DATA[name]}`] : [];
}

/** @returns the same name for the same data folder. */
export function volumeName(dataFolder: string, name: ServerName): string {
  return `sluice-${name}-${createHash("sha256").update(dataFolder).digest("hex").slice(0, 8)}`;
}

/** Where a container has its data; docker-compose.yml mounts its volumes there too. */
export const CONTAINER_DATA = {
  kafka: "/var/lib/kafka/data",
  // From version 18 on the image keeps its data one folder above the former place.
  postgres: "/var/lib/postgresql",
  registry: "/var/lib/registry",
  redis: "/data",
} as const satisfies Record<ServerName, string>;

/** The environment that every server gets; our own may hold keys that are none of its business. */
export function serverEnvironment(): Record<string, string> {
  const environment: Record<string, string> = { LANG: "C.UTF-8", LC_ALL: "C.UTF-8", TZ: "UTC" };
  for (const name of ["PATH", "JAVA_HOME"]) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

/** @returns the words of whatever was thrown; of several errors at once those of the first. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return messageOf(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${messageOf(error.cause)})` : error.message;
}
