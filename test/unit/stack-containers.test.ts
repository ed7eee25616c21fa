import { describe, expect, test } from "@jest/globals";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CONTAINER_DATA, type ServerName, volumeName } from "../../src/stack/server-kind.js";
import { SERVER_KINDS } from "../../src/stack/server-kinds.js";

const NAMES = Object.keys(SERVER_KINDS) as ServerName[]; // the keys of a record by that type

/** What `docker run` is told for a server's preferred image. */
async function runArguments(name: ServerName, dataFolder: string, kept: boolean): Promise<readonly string[]> {
  const kind = SERVER_KINDS[name];
  const ports = (_label: string, count: number): Promise<readonly number[]> =>
    Promise.resolve(Array.from({ length: count }, (_, index) => 20_000 + index));
  const launch = await kind.planContainer(kind.images[0] ?? "", {
    dataFolder,
    kept,
    brokers: 1,
    frontedListeners: [],
    ports,
  });
  const spec = launch.members[0]?.spec;
  return spec?.kind === "container" ? spec.runArguments : [];
}

describe.each(NAMES)("the container of %s", (name) => {
  async function withFolder<Result>(work: (folder: string) => Promise<Result>): Promise<Result> {
    const folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
    try {
      return await work(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  test("keeps its data in a volume of its own where data is kept", async () => {
    await withFolder(async (folder) => {
      const given = await runArguments(name, folder, true);
      expect(given[given.indexOf("--volume") + 1]).toBe(`${volumeName(folder, name)}:${CONTAINER_DATA[name]}`);
      // Options come before the image; what follows it is for the server.
      expect(given.indexOf("--volume")).toBeLessThan(given.indexOf(SERVER_KINDS[name].images[0] ?? ""));
    });
  });

  test("leaves nothing behind where data is not kept", async () => {
    await withFolder(async (folder) => {
      expect(await runArguments(name, folder, false)).not.toContain("--volume");
    });
  });
});

test("volumes are named by server and data folder", () => {
  const names = NAMES.flatMap((name) => [volumeName("/one", name), volumeName("/other", name)]);
  expect(new Set(names).size).toBe(2 * NAMES.length);
  expect(names.every((name) => /^sluice-[a-z]+-[0-9a-f]{8}$/.test(name))).toBe(true);
  expect(volumeName("/one", "kafka")).toBe(volumeName("/one", "kafka"));
});

test("the broker and the registry write where their volumes are", async () => {
  expect(await runArguments("kafka", tmpdir(), true)).toContain(`KAFKA_LOG_DIRS=${CONTAINER_DATA.kafka}`);
  expect(await runArguments("registry", tmpdir(), true)).toContain(
    `REGISTRY_DATASOURCE_URL=jdbc:h2:file:${CONTAINER_DATA.registry}/schemas;WRITE_DELAY=0`,
  );
});
