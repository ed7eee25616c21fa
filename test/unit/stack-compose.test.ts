import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { parse } from "yaml";

interface Service {
  readonly image?: string;
  readonly ports?: readonly string[];
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
}

const compose = parse(readFileSync("docker-compose.yml", "utf8"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
};
const LASTING = ["kafka", "postgres", "registry", "redis", "simulator", "gateway"];

describe("docker-compose.yml", () => {
  test("holds the servers, the simulator, the gateway and one service that prepares them", () => {
    expect(Object.keys(compose.services).sort()).toEqual([...LASTING, "prepare"].sort());
  });

  test.each([
    ["kafka", "apache/kafka:4.3.1"],
    ["postgres", "pgvector/pgvector:pg18"],
    ["gateway", "sluice:local"],
    ["simulator", "sluice:local"],
  ])("runs %s from the image %s", (name, image) => {
    expect(compose.services[name]?.image).toBe(image);
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

  test("waits only for services that exist", () => {
    for (const service of Object.values(compose.services)) {
      for (const name of Object.keys(service.depends_on ?? {})) expect(compose.services).toHaveProperty(name);
    }
  });
});
