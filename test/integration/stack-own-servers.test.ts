import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { findLocalImage, whyNoDocker } from "../../src/stack/docker-engine.js";
import { identifyProcess, isRunning, type ProcessIdentity } from "../../src/stack/process-identity.js";
import { type ServerName, volumeName } from "../../src/stack/server-kind.js";
import { SERVER_KINDS } from "../../src/stack/server-kinds.js";
import { startStack, type Stack } from "../../src/stack/stack.js";

const DIST = fileURLToPath(new URL("../../dist/stack/", import.meta.url));

describe("a server that is killed and started again", () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ servers: ["kafka", "postgres", "registry"], own: true });
  }, 120_000);
  afterAll(async () => {
    await stack.stop();
  }, 60_000);

  function server(name: string): Stack["servers"][number] {
    const found = stack.servers.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`no server ${name}`);
    return found;
  }

  test("Postgres keeps the rows that were committed, at the same address", async () => {
    await query(stack.addresses.databaseUrl, "CREATE TABLE kept AS SELECT 42 AS answer");
    const pid = server("postgres").pid;
    await server("postgres").kill("SIGKILL");
    await expect(query(stack.addresses.databaseUrl, "SELECT 1")).rejects.toThrow();
    await server("postgres").restart();
    expect(server("postgres").pid).not.toBe(pid);
    expect(await query(stack.addresses.databaseUrl, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
  }, 60_000);

  test("Kafka keeps the records that it acknowledged, at the same address", async () => {
    const kafka = new Kafka({ brokers: [stack.addresses.kafkaBrokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    const producer = kafka.producer();
    await Promise.all([admin.connect(), producer.connect()]);
    await admin.createTopics({ topics: [{ topic: "kept", numPartitions: 1 }] });
    await producer.send({ topic: "kept", acks: -1, messages: [{ value: "a" }, { value: "b" }] });
    await server("kafka").kill("SIGKILL");
    await server("kafka").restart();
    const offsets = await admin.fetchTopicOffsets("kept");
    expect(offsets.map(({ high }) => high)).toEqual(["2"]);
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  }, 60_000);

  test("the registry keeps the ids of its schemas", async () => {
    const base = stack.addresses.registryUrl;
    const response = await fetch(`${base}/subjects/kept-value/versions`, {
      method: "POST",
      headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
      body: JSON.stringify({ schema: '{"type":"string"}' }),
    });
    const { id } = (await response.json()) as { id: number };
    await server("registry").kill("SIGKILL");
    await server("registry").restart();
    const read = (await (await fetch(`${base}/schemas/ids/${String(id)}`)).json()) as { schema: string };
    expect(JSON.parse(read.schema)).toEqual({ type: "string" });
  }, 60_000);
});

describe("a stack in another process", () => {
  const holders: ChildProcess[] = [];
  const folders: string[] = [];
  afterEach(async () => {
    for (const holder of holders.splice(0)) {
      if (holder.exitCode !== null || holder.signalCode !== null) continue;
      holder.stdin?.end();
      await once(holder, "exit");
    }
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });

  function openFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
    chmodSync(folder, 0o755);
    folders.push(folder);
    return folder;
  }

  /** Runs code against the compiled stack; resolves with the object that it prints. */
  async function run(code: string, env: Readonly<Record<string, string>> = {}): Promise<Record<string, unknown>> {
    const imports = `import { startStack } from ${JSON.stringify(join(DIST, "stack.js"))};
      import * as commands from ${JSON.stringify(join(DIST, "stack-commands.js"))};
      const say = (value) => console.log(JSON.stringify(value));
      const held = () => new Promise((resolve) => process.stdin.on("end", resolve).resume());`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", `${imports}\n${code}`], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
    });
    holders.push(child);
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    return JSON.parse(line) as Record<string, unknown>;
  }

  test("leaves no server and no data behind when its holder is killed", async () => {
    const said = await run(`const stack = await startStack({ servers: ["postgres", "redis"] });
      say({ supervisor: stack.supervisor.pid, servers: stack.servers.map(({ pid, how }) => ({ pid, how })) }); await held();`);
    const servers = said["servers"] as { readonly pid: number; readonly how: string }[];
    const pids = [said["supervisor"] as number, ...servers.map(({ pid }) => pid)];
    const running = pids.map(identifyProcess).filter((found) => found !== null);
    expect(running).toHaveLength(3);
    // Each native server works in its own folder below that of the stack; a container's data end with it.
    const data = servers
      .filter(({ how }) => how === "native")
      .map(({ pid }) => dirname(readlinkSync(`/proc/${String(pid)}/cwd`)));
    expect(data.every(existsSync)).toBe(true);
    holders[0]?.kill("SIGKILL");
    await untilEnded(running);
    expect(data.some(existsSync)).toBe(false);
  }, 60_000);

  test("needs no Maven once the servers are in the cache", async () => {
    // The first run fills the cache where it is empty; the second has a path on which only Docker's absence shows.
    await run(`const s = await startStack({ servers: ["redis"] }); await s.stop(); say({});`);
    const said = await run(
      `const s = await startStack({ servers: ["redis"] }); say({ how: s.servers[0].how }); await s.stop();`,
      {
        PATH: openFolder(),
      },
    );
    expect(said).toEqual({ how: "native" });
  }, 90_000);

  test("says what was tried when a server can't be had", async () => {
    const said = await run(
      `await startStack({ servers: ["redis"] }).then(() => say({}), (e) => say({ message: e.message }));`,
      {
        PATH: openFolder(),
        SLUICE_CACHE: openFolder(),
      },
    );
    expect(said["message"]).toContain(
      "redis can't be had. Tried: REDIS_URL is not set; Docker: there is no docker on the path; native: ",
    );
    expect(said["message"]).toContain("there is no mvn on the path");
  }, 60_000);

  test("takes an address from the environment when it answers, and refuses one that does not", async () => {
    const code = `const own = await startStack({ servers: ["redis"] });
      process.env.REDIS_URL = own.addresses.redisUrl;
      const given = await startStack({ servers: ["redis"] });
      const kill = await given.servers[0].kill("SIGKILL").catch((error) => error.message);
      await given.stop();
      await own.stop();
      const dead = await startStack({ servers: ["redis"] }).catch((error) => error.message);
      say({ own: own.addresses.redisUrl, given: given.addresses.redisUrl, how: given.servers[0].how, kill, dead });`;
    const said = await run(code);
    expect(said["given"]).toBe(said["own"]);
    expect(said["how"]).toBe("environment");
    expect(said["kill"]).toBe("redis comes from REDIS_URL; it is not ours to stop");
    expect(said["dead"]).toMatch(/^redis: REDIS_URL is set, but nothing answers there/);
  }, 60_000);

  test("takes a container only where an image is on the machine", async () => {
    const said = await run(`const s = await startStack({ servers: ["postgres", "redis"] });
      say({ ways: s.servers.map(({ kind, how }) => [kind, how]) }); await s.stop();`);
    for (const [kind, how] of said["ways"] as [ServerName, string][]) expect(await waysOf(kind)).toContain(how);
  }, 60_000);

  test("outlives `stack up`, keeps its data over `down` and `up`, and is ended by `down`", async () => {
    const env = { SLUICE_CACHE: openFolder() };
    const up = `say(await commands.stackUp({ servers: ["postgres"] }));`;
    const first = statusIn(await run(up, env));
    await once(holders[0] as ChildProcess, "exit");
    expect(first).toMatchObject({ up: true, servers: [{ name: "postgres", answers: true }] });
    expect(await waysOf("postgres")).toContain(first.servers[0]?.how);
    const identity = identifyProcess(first.servers[0]?.pid ?? 0);
    await query(first.addresses.databaseUrl, "CREATE TABLE kept AS SELECT 42 AS answer");
    // Again while it runs: nothing is started.
    expect(statusIn(await run(up, env))).toEqual(first);
    expect(statusIn(await run(`say(await commands.stackStatus());`, env))).toEqual(first);
    expect(await run(`say(await commands.stackDown());`, env)).toEqual({ ended: ["postgres"] });
    expect(identity !== null && isRunning(identity)).toBe(false);
    expect(statusIn(await run(`say(await commands.stackStatus());`, env))).toMatchObject({ up: false, servers: [] });
    const second = statusIn(await run(up, env));
    expect(second.addresses).toEqual(first.addresses);
    expect(await query(second.addresses.databaseUrl, "SELECT answer FROM kept")).toEqual([{ answer: 42 }]);
    await run(`say(await commands.stackDown());`, env);
    if (second.servers[0]?.how === "docker") removeVolumesBelow(env.SLUICE_CACHE);
  }, 90_000);

  test("is ended by `down` even when its supervisor was killed", async () => {
    // Without Docker on the path: a container's process belongs to the engine, and may not be ours to signal.
    const env = { SLUICE_CACHE: openFolder(), PATH: openFolder() };
    const code = `import { readdirSync, readFileSync } from "node:fs";
      const status = await commands.stackUp({ servers: ["postgres"] });
      const folder = readdirSync(process.env.SLUICE_CACHE).find((name) => name.startsWith("stack-"));
      const state = JSON.parse(readFileSync(process.env.SLUICE_CACHE + "/" + folder + "/state.json", "utf8"));
      say({ supervisor: state.supervisor, server: state.servers[0].process });`;
    const state = (await run(code, env)) as unknown as { supervisor: ProcessIdentity; server: ProcessIdentity };
    expect(isRunning(state.supervisor) && isRunning(state.server)).toBe(true);
    process.kill(state.supervisor.pid, "SIGKILL");
    await untilEnded([state.supervisor]);
    expect(await run(`say(await commands.stackDown());`, env)).toEqual({ ended: ["postgres"] });
    expect(isRunning(state.server)).toBe(false);
  }, 60_000);
});

interface Status {
  readonly up: boolean;
  readonly addresses: { readonly databaseUrl: string };
  readonly servers: readonly { readonly pid: number | null; readonly how: string }[];
}

/** The ways in which a server may be had on this machine: in a container only of an image that is here; each can be had natively as well. */
async function waysOf(name: ServerName): Promise<readonly string[]> {
  const hasImage = (await whyNoDocker()) === null && (await findLocalImage(SERVER_KINDS[name].images)) !== null;
  return hasImage ? ["docker", "native"] : ["native"];
}

/** What a stack keeps in Docker on purpose. */
function removeVolumesBelow(cache: string): void {
  for (const folder of readdirSync(cache).filter((name) => name.startsWith("stack-")))
    execFileSync("docker", ["volume", "rm", volumeName(join(cache, folder, "data"), "postgres")]);
}

function statusIn(said: Record<string, unknown>): Status {
  // What `stackUp` and `stackStatus` return, printed as JSON by the holder above.
  return said as unknown as Status;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function untilEnded(processes: readonly ProcessIdentity[]): Promise<void> {
  const untilMs = Date.now() + 15_000;
  while (processes.some(isRunning)) {
    if (Date.now() > untilMs)
      throw new Error(`still running after 15 s: ${JSON.stringify(processes.filter(isRunning))}`);
    // A poll: they are not our children, so no event tells of their end.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
