import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { findJava, quickStartFlags } from "./java-runtime.js";
import { ensureMavenArtifact, MAVEN_ARTIFACTS } from "./maven-artifacts.js";
import {
  CHECK_TIMEOUT_MS,
  CONTAINER_DATA,
  type LaunchContext,
  serverEnvironment,
  type ServerKind,
  stopGraceMs,
  volumeOptions,
} from "./server-kind.js";

/**
 * Apicurio Registry; its address is the base of the API that it shares with Confluent's registry. The image, "in memory" by its name, holds the
 * program that Maven brings, with the same database, which is in memory only when nobody says a file; the one for SQL knows PostgreSQL alone.
 */
export const REGISTRY_SERVER: ServerKind = {
  name: "registry",
  environmentVariable: "SCHEMA_REGISTRY_URL",
  images: ["apicurio/apicurio-registry-mem:2.6.13.Final"],
  prepare: async (say) => {
    await findJava();
    return ensureMavenArtifact(MAVEN_ARTIFACTS.registry, say);
  },
  planNative: async (files, context) => {
    const port = await portOf(context);
    const address = addressOf(port);
    const spec = {
      kind: "process",
      name: "registry",
      command: await findJava(),
      args: [...quickStartFlags(256), ...placeFlags(port), "-jar", join(files, runnerIn(files))],
      env: { ...serverEnvironment(), ...storageEnvironment(context) },
      workingFolder: context.dataFolder,
      user: null,
      logFile: join(context.dataFolder, "registry.log"),
      stopSignal: "SIGTERM",
      stopGraceMs: stopGraceMs(context),
    } as const;
    return { address, members: [{ address, spec }] };
  },
  planContainer: async (image, context) => {
    const port = await portOf(context);
    const address = addressOf(port);
    const spec = {
      kind: "container",
      name: "registry",
      command: "docker",
      containerName: `sluice-registry-${String(port)}`,
      runArguments: [
        ...["--publish", `127.0.0.1:${String(port)}:8080`],
        // A new volume belongs to root, and the image runs as somebody else.
        ...["--user", "0", ...volumeOptions(context, "registry")],
        ...["--env", `REGISTRY_DATASOURCE_URL=${databaseIn(CONTAINER_DATA.registry)}`, image],
      ],
      logFile: join(context.dataFolder, "registry.log"),
      stopSignal: "SIGTERM",
      stopGraceMs: stopGraceMs(context),
    } as const;
    return { address, members: [{ address, spec }] };
  },
  check: async (address) => {
    const response = await fetch(`${address}/subjects`, { signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`GET ${address}/subjects answered ${String(response.status)}`);
  },
};

async function portOf(context: LaunchContext): Promise<number> {
  const [port] = await context.ports("registry", 1);
  if (port === undefined) throw new Error("no port for the schema registry");
  return port;
}

function addressOf(port: number): string {
  return `http://127.0.0.1:${String(port)}/apis/ccompat/v7`;
}

function placeFlags(port: number): string[] {
  return ["-Dquarkus.http.host=127.0.0.1", `-Dquarkus.http.port=${String(port)}`];
}

function storageEnvironment(context: LaunchContext): Record<string, string> {
  const folder = join(context.dataFolder, "registry");
  mkdirSync(folder, { recursive: true });
  return { REGISTRY_DATASOURCE_URL: databaseIn(folder) };
}

/**
 * The database in a file instead of in memory, written at each commit instead of twice a second: schema ids stand in
 * every Avro record and must survive a kill.
 */
function databaseIn(folder: string): string {
  return `jdbc:h2:file:${join(folder, "schemas")};WRITE_DELAY=0`;
}

function runnerIn(folder: string): string {
  const runner = readdirSync(folder).find((name) => name.endsWith("-runner.jar"));
  if (runner === undefined) throw new Error(`${folder} holds no registry program (a file ending in -runner.jar)`);
  return runner;
}
