import { readFileSync } from "node:fs";
import { PROVIDER_KINDS } from "../../../src/adapters/providers/registry.js";
import { parseConfig } from "../../../src/config/parse.js";
import { gatewayConfig } from "../gateway-config.js";
import { mustBeShort, mustHold, type FuzzTarget } from "./fuzz-target.js";
import { mutatedBytes } from "./mutated-bytes.js";

const NAMES = { jobs: "jobs", results: "results", costs: "costs", deadLetters: "jobs.dlq", events: "events" };
const SEEDS = [
  readFileSync(new URL("../../../src/config/example.yaml", import.meta.url)),
  readFileSync(new URL("../../golden/config/mistakes.yaml", import.meta.url)),
  Buffer.from(JSON.stringify(gatewayConfig(NAMES, "http://127.0.0.1:1", {}), null, 1)),
  Buffer.from("environment: dev\nkafka: { brokers: [a:1] }\nproviders: &p { a: { kind: openai, apiKey: '${KEY}' } }\n"),
];
const SECRET = "a-secret-of-the-environment";
const ENV = {
  KAFKA_BROKERS: "127.0.0.1:1",
  DATABASE_URL: "postgres://u:p@127.0.0.1/d",
  SCHEMA_REGISTRY_URL: "http://127.0.0.1:1",
  OPENAI_API_KEY: SECRET,
  KEY: SECRET,
};

/** Most problems that are told. */
const PROBLEMS_MAX = 200;

export const CONFIGS: FuzzTarget<Buffer> = {
  name: "config",
  inputs: mutatedBytes(SEEDS),
  read: (bytes) => {
    const outcome = parseConfig(
      bytes.toString("utf8"),
      ENV,
      () => {
        throw new Error("no such file");
      },
      PROVIDER_KINDS,
    );
    if (outcome.ok) return "a config";
    mustHold(
      outcome.problems.length > 0 && outcome.problems.length <= PROBLEMS_MAX,
      `${String(outcome.problems.length)} problems`,
    );
    for (const { message } of outcome.problems) {
      mustBeShort(message);
      mustHold(!message.includes(SECRET), "a problem that tells a secret");
    }
    return "refused";
  },
};
