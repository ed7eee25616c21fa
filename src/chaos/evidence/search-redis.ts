import type { Redis } from "ioredis";
import type { Canary, SinkReading } from "./evidence.js";
import { searchEntries } from "./search-sinks.js";

const KEYS_AT_ONCE = 500;

/**
 * Every key of a Redis database with whatever it holds, read by its type: what the server dumps is compressed, and would hide a text.
 * Keys that expire meanwhile are passed over.
 * @throws what the client throws.
 */
export async function searchRedis(redis: Redis, canaries: readonly Canary[]): Promise<SinkReading> {
  const entries: [string, Buffer][] = [];
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "COUNT", KEYS_AT_ONCE); // serial: each page begins where the one before ended
    for (const key of keys) entries.push([key, await valueOf(redis, key)]);
    cursor = next;
  } while (cursor !== "0");
  return searchEntries("redis", "redis", entries, canaries);
}

async function valueOf(redis: Redis, key: string): Promise<Buffer> {
  switch (await redis.type(key)) {
    case "string":
      return (await redis.getBuffer(key)) ?? Buffer.alloc(0);
    case "hash":
      return Buffer.concat(
        Object.entries(await redis.hgetallBuffer(key)).flatMap(([name, value]) => [Buffer.from(name), value]),
      );
    case "list":
      return Buffer.concat(await redis.lrangeBuffer(key, 0, -1));
    case "set":
      return Buffer.concat(await redis.smembersBuffer(key));
    case "zset":
      return Buffer.concat(await redis.zrangeBuffer(key, 0, "-1"));
    case "stream":
      return Buffer.from(JSON.stringify(await redis.xrange(key, "-", "+")));
    default:
      return Buffer.alloc(0); // gone meanwhile
  }
}
