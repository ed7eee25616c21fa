import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parseConfig } from "../../src/config/parse.js";
import { CONTAINER_DATA, type ServerName } from "../../src/stack/server-kind.js";
import { SERVER_KINDS } from "../../src/stack/server-kinds.js";

interface Service {
  readonly image?: string;
  readonly ports?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly stop_grace_period?: string;
}

const compose = parse(readFileSync("docker-compose.yml", "utf8"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const SERVERS = Object.keys(SERVER_KINDS) as ServerName[]; // the keys of a record by that type
const LASTING = ["kafka", "postgres", "registry", "redis", "simulator", "gateway"];

describe("docker-compose.yml", () => {
  test("holds the servers, the simulator, the gateway and one service that prepares them", () => {
    expect(Object.keys(compose.services).sort()).toEqual([...LASTING, "prepare"].sort());
  });

  test.each(SERVERS)(
    "runs %s from the image that `sluice stack` prefers, and keeps its data where that does",
    (name) => {
      expect(compose.services[name]?.image).toBe(SERVER_KINDS[name].images[0]);
      expect(compose.services[name]?.volumes).toEqual([`${name}-data:${CONTAINER_DATA[name]}`]);
      expect(compose.volumes).toHaveProperty(`${name}-data`);
    },
  );

  test.each(["gateway", "simulator", "prepare"])("runs %s from the image of this repository", (name) => {
    expect(compose.services[name]?.image).toBe("sluice:local");
  });

  test.each(LASTING)("%s is published to this machine only and says whether it is healthy", (name) => {
    const service = compose.services[name];
    expect(service?.ports).toHaveLength(1);
    expect(service?.ports?.[0]).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    expect(service?.healthcheck?.test.length).toBeGreaterThan(1);
  });

  test("publishes no two services on the same port", () => {
    const ports = LASTING.map((name) => compose.services[name]?.ports?.[0]?.split(":")[1]);
    expect(new Set(ports).size).toBe(LASTING.length);
  });

  test("gives the gateway every address by the names that its config file asks for", () => {
    const config = readFileSync("deploy/gateway.yaml", "utf8");
    const asked = [...config.matchAll(/\$\{(\w+)\}/g)].map((match) => match[1] ?? "");
    expect(asked).toContain("KAFKA_BROKERS");
    expect(Object.keys(compose.services["gateway"]?.environment ?? {})).toEqual(expect.arrayContaining(asked));
  });

  test("gives the gateway a config that is right, and longer to stop than the gateway gives its calls", () => {
    const { environment, stop_grace_period: grace } = compose.services["gateway"] ?? {};
    const text = readFileSync("deploy/gateway.yaml", "utf8");
    const outcome = parseConfig(text, environment ?? {}, () => "", PROVIDER_KINDS);
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems));
    expect(grace).toMatch(/^\d+s$/);
    expect(Number.parseInt(grace ?? "", 10) * 1000).toBeGreaterThan(outcome.config.shutdown.graceMs);
  });

  test("waits only for services that exist", () => {
    for (const service of Object.values(compose.services)) {
      for (const name of Object.keys(service.depends_on ?? {})) expect(compose.services).toHaveProperty(name);
    }
  });
});
