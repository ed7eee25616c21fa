import { randomBytes } from "node:crypto";
import pg from "pg";
import type { StackAddresses } from "../../src/stack/stack-types.js";

/** The servers that the global setup of `jest.servers.config.mjs` started. @throws Error outside of such a run. */
export function servers(): StackAddresses {
  return {
    kafkaBrokers: setting("SLUICE_TEST_KAFKA_BROKERS"),
    databaseUrl: setting("SLUICE_TEST_DATABASE_URL"),
    registryUrl: setting("SLUICE_TEST_REGISTRY_URL"),
    redisUrl: setting("SLUICE_TEST_REDIS_URL"),
  };
}

function setting(variable: string): string {
  const value = process.env[variable];
  if (value === undefined) throw new Error(`${variable} is not set: run with --config jest.servers.config.mjs`);
  return value;
}

/** A database of one test's own. */
export interface FreshDatabase {
  readonly url: string;
  /** Removes it, ending sessions that are still open. */
  drop(): Promise<void>;
}

/** Creates an empty database with a name that no other test has. */
export function freshDatabase(): Promise<FreshDatabase> {
  return createdDatabase("");
}

/** The same with the ledger's tables in it, as `sluice migrate` makes them. */
export function migratedDatabase(): Promise<FreshDatabase> {
  return createdDatabase(` TEMPLATE ${setting("SLUICE_TEST_DATABASE_TEMPLATE")}`);
}

async function createdDatabase(from: string): Promise<FreshDatabase> {
  const name = `test_${suffix()}`;
  await onServer(`CREATE DATABASE ${name}${from}`);
  const url = new URL(servers().databaseUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => onServer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

/** Topic names that no other test has; nothing is created. */
export interface FreshTopicNames {
  readonly jobs: string;
  readonly results: string;
  readonly costs: string;
  readonly deadLetters: string;
  readonly events: string;
}

/** @param prefix says in a broker's log which test it was. */
export function freshTopicNames(prefix: string): FreshTopicNames {
  const base = `${prefix}.${suffix()}`;
  const jobs = `${base}.llm.jobs.v1`;
  return {
    jobs,
    results: `${base}.llm.results.v1`,
    costs: `${base}.llm.costs.v1`,
    deadLetters: `${jobs}.dlq`,
    events: `${base}.llm.events.v1`,
  };
}

function suffix(): string {
  return randomBytes(6).toString("hex");
}

async function onServer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: servers().databaseUrl });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
