import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheFolder } from "./cache-folders.js";
import { ensureStampedFolder } from "./stamped-folder.js";

const runFile = promisify(execFile);

/** The largest of them (142 MB) on a line of 2 Mbit/s. */
const DOWNLOAD_TIMEOUT_MS = 12 * 60_000;

/** A set of files that Maven fetches by a small pom, so that an operator's own mirror settings count. */
export interface MavenArtifact {
  readonly name: "kafka" | "registry" | "redis";
  /** As told to the person who waits. */
  readonly title: string;
  readonly downloadMb: number;
  readonly goal: "copy-dependencies" | "unpack-dependencies";
  readonly properties: readonly string[];
}

/** Sizes measured once; they are announced before a download and not relied on. */
export const MAVEN_ARTIFACTS = {
  kafka: {
    name: "kafka",
    title: "Apache Kafka 4.3.1",
    downloadMb: 54,
    goal: "copy-dependencies",
    properties: [],
  },
  registry: {
    name: "registry",
    title: "Apicurio schema registry 2.6.13",
    downloadMb: 142,
    goal: "unpack-dependencies",
    properties: [],
  },
  redis: {
    name: "redis",
    title: "Redis 6.2",
    downloadMb: 12,
    goal: "unpack-dependencies",
    properties: ["-Dmdep.unpack.includes=redis-server-*"],
  },
} as const satisfies Record<string, MavenArtifact>;

/**
 * @returns the folder with the artifact's files, downloaded at most once per version.
 * @throws Error with Maven's own words when the download fails.
 */
export async function ensureMavenArtifact(artifact: MavenArtifact, say: (line: string) => void): Promise<string> {
  const pom = fileURLToPath(new URL(`../../deploy/servers/${artifact.name}.xml`, import.meta.url));
  const digest = createHash("sha256").update(readFileSync(pom)).digest("hex").slice(0, 16);
  const folder = join(cacheFolder(), "servers", `${artifact.name}-${digest}`);
  return ensureStampedFolder(folder, `${artifact.name}.xml ${digest} ${artifact.goal}`, async (empty) => {
    say(`downloading ${artifact.title} through Maven, about ${String(artifact.downloadMb)} MB, once, to ${folder}`);
    // The plugin remembers what it unpacked; beside the pom that would be wrong as soon as the cache is emptied.
    const markers = join(empty, ".markers");
    const places = [`-DoutputDirectory=${empty}`, `-DmarkersDirectory=${markers}`];
    await runMaven(artifact, ["-q", "-B", "-f", pom, `dependency:${artifact.goal}`, ...places, ...artifact.properties]);
    rmSync(markers, { recursive: true, force: true });
  });
}

async function runMaven(artifact: MavenArtifact, args: readonly string[]): Promise<void> {
  try {
    await runFile("mvn", args, { timeout: DOWNLOAD_TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 });
  } catch (error) {
    throw new Error(`${artifact.title} can't be fetched with Maven (mvn ${args.join(" ")}): ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "ENOENT") return "there is no mvn on the path";
  const output = "stdout" in error && typeof error.stdout === "string" ? error.stdout : "";
  const lines = output.split("\n").filter((line) => line.includes("ERROR"));
  return lines.length > 0 ? lines.slice(0, 3).join(" ") : error.message;
}
