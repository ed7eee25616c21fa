import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { ensurePostgresBinaries } from "./postgres-binaries.js";
import {
  CHECK_TIMEOUT_MS,
  type Launch,
  type LaunchContext,
  serverEnvironment,
  type ServerKind,
  stopGraceMs,
  volumeOptions,
} from "./server-kind.js";
import type { SystemUser } from "./server-spec.js";

const DATABASE = "sluice";
const SUPERUSER = "postgres";

/** Durability is left at its defaults on purpose (fsync and synchronous_commit on): what we promise rests on them. */
const SETTINGS: Readonly<Record<string, string>> = {
  max_connections: "200",
  shared_buffers: "256MB",
  max_wal_size: "4GB",
  timezone: "UTC",
  log_timezone: "UTC",
};

/** PostgreSQL 18 with an own superuser password and an empty database `sluice`. */
export const POSTGRES_SERVER: ServerKind = {
  name: "postgres",
  environmentVariable: "DATABASE_URL",
  images: ["pgvector/pgvector:pg18", "postgres:18.4", "postgres:18"],
  prepare: ensurePostgresBinaries,
  planNative: async (binaries, context) => {
    const user = serverUser();
    const password = passwordOf(context);
    const data = join(context.dataFolder, "postgres");
    if (!existsSync(data)) await createCluster(binaries, data, password, user, context);
    return launchOf(await portOf(context), password, (port) => ({
      kind: "process",
      name: "postgres",
      command: join(binaries, "bin", "postgres"),
      args: ["-D", data, ...settingArguments({ ...SETTINGS, ...placeSettings(port) })],
      env: serverEnvironment(),
      workingFolder: data,
      user,
      logFile: join(context.dataFolder, "postgres.log"),
      // "Fast": SIGTERM would wait for every client to leave.
      stopSignal: "SIGINT",
      stopGraceMs: stopGraceMs(context),
    }));
  },
  planContainer: async (image, context) => {
    const password = passwordOf(context);
    return launchOf(await portOf(context), password, (port) => ({
      kind: "container",
      name: "postgres",
      command: "docker",
      containerName: `sluice-postgres-${String(port)}`,
      runArguments: [
        ...["--publish", `127.0.0.1:${String(port)}:5432`, "--shm-size", "256m"],
        ...volumeOptions(context, "postgres"),
        ...["--env", `POSTGRES_PASSWORD=${password}`, "--env", `POSTGRES_DB=${DATABASE}`],
        ...["--env", "POSTGRES_INITDB_ARGS=--encoding=UTF8 --locale=C.UTF-8", image],
        ...["postgres", ...settingArguments(SETTINGS)],
      ],
      logFile: join(context.dataFolder, "postgres.log"),
      stopSignal: "SIGINT",
      stopGraceMs: stopGraceMs(context),
    }));
  },
  check: checkPostgres,
};

function launchOf(port: number, password: string, specOf: (port: number) => Launch["members"][number]["spec"]): Launch {
  const address = `postgres://${SUPERUSER}:${password}@127.0.0.1:${String(port)}/${DATABASE}`;
  return { address, members: [{ address, spec: specOf(port) }] };
}

async function portOf(context: LaunchContext): Promise<number> {
  const [port] = await context.ports("postgres", 1);
  if (port === undefined) throw new Error("no port for PostgreSQL");
  return port;
}

// No Unix socket: its usual folder may be missing or closed, and its path has a short limit.
function placeSettings(port: number): Record<string, string> {
  return { listen_addresses: "127.0.0.1", port: String(port), unix_socket_directories: "" };
}

function settingArguments(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
}

/** Any local user can reach the port, and a superuser of the database can run programs: hence a password even here. */
function passwordOf(context: LaunchContext): string {
  const file = join(context.dataFolder, "postgres-password");
  if (!existsSync(file)) writeFileSync(file, randomBytes(18).toString("base64url"), { mode: 0o600 });
  return readFileSync(file, "utf8");
}

/** Made under another name and renamed when complete, so that an interrupted start leaves nothing half made. */
async function createCluster(
  binaries: string,
  data: string,
  password: string,
  user: SystemUser | null,
  context: LaunchContext,
): Promise<void> {
  const making = `${data}.new`;
  const passwordFile = join(context.dataFolder, "postgres-password.new");
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { mode: 0o700 });
  rmSync(passwordFile, { force: true });
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user !== null) for (const path of [making, passwordFile]) chownSync(path, user.uid, user.gid);
  const run = (program: string, args: readonly string[], input: string): Promise<void> =>
    runAs(user, making, join(binaries, "bin", program), args, input);
  await run(
    "initdb",
    ["-D", making, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"].concat(
      "--locale=C.UTF-8",
      "--encoding=UTF8",
    ),
    "",
  );
  // Single-user mode: the database is there before the first client can connect.
  await run("postgres", ["--single", "-D", making, "postgres"], `CREATE DATABASE ${DATABASE}\n`);
  rmSync(passwordFile, { force: true });
  renameSync(making, data);
}

function runAs(
  user: SystemUser | null,
  folder: string,
  program: string,
  args: readonly string[],
  input: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, env: serverEnvironment(), timeout: 120_000, ...(user ?? {}) };
    const child = execFile(program, args, options, (error, _stdout, stderr) => {
      if (error === null) resolve();
      else reject(new Error(`${program} failed: ${stderr.trim() || error.message}`, { cause: error }));
    });
    child.stdin?.end(input);
  });
}

/** PostgreSQL refuses to run as root; then it runs as `postgres` where that user exists, else as `nobody`. */
function serverUser(): SystemUser | null {
  if (process.getuid?.() !== 0) return null;
  const accounts = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of [SUPERUSER, "nobody"]) {
    const account = accounts.find((fields) => fields[0] === name);
    if (account !== undefined) return { uid: Number(account[2]), gid: Number(account[3]) };
  }
  throw new Error("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as");
}

async function checkPostgres(address: string): Promise<void> {
  const client = new pg.Client({
    connectionString: address,
    connectionTimeoutMillis: CHECK_TIMEOUT_MS,
    query_timeout: CHECK_TIMEOUT_MS,
  });
  // A server that dies under an idle client is reported here; the question below fails by itself.
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("SELECT 1");
  } finally {
    await client.end();
  }
}
