import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import pg from "pg";
import type { Canary, SinkReading } from "./evidence/evidence.js";
import { searchRedis } from "./evidence/search-redis.js";
import { searchFile, searchLedger, searchText } from "./evidence/search-sinks.js";

export interface SinkPlaces {
  /** All its files whose names end with `.log` are searched. */
  readonly folder: string;
  readonly databaseUrl: string;
  readonly redisAddress: string;
  readonly metrics: readonly { readonly name: string; readonly text: string }[];
}

const REDIS_TIMEOUT_MS = 5000;

/** Searches all places where text of a tenant or a secret could have ended up, besides the topics. */
export async function readSinks(places: SinkPlaces, canaries: readonly Canary[]): Promise<readonly SinkReading[]> {
  const { folder, metrics } = places;
  const logs = (await readdir(folder)).filter((name) => name.endsWith(".log") && name !== SIMULATOR_LOG);
  return [
    ...(await Promise.all(logs.map((name) => searchFile("log", join(folder, name), canaries)))),
    ...metrics.map(({ name, text }) => searchText("metrics", name, text, canaries)),
    ...(await searchDatabase(places.databaseUrl, canaries)),
    await searchKeys(places.redisAddress, canaries),
  ];
}

/** It is the provider's, who is told both. */
const SIMULATOR_LOG = "simulator.log";

async function searchDatabase(url: string, canaries: readonly Canary[]): Promise<readonly SinkReading[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await searchLedger(client, canaries);
  } finally {
    await client.end();
  }
}

async function searchKeys(address: string, canaries: readonly Canary[]): Promise<SinkReading> {
  const client = new Redis(address, { lazyConnect: true, commandTimeout: REDIS_TIMEOUT_MS });
  await client.connect();
  try {
    return await searchRedis(client, canaries);
  } finally {
    client.disconnect();
  }
}
