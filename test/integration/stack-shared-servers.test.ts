import { describe, expect, test } from "@jest/globals";
import { Redis } from "ioredis";
import { Kafka, logLevel } from "kafkajs";
import pg from "pg";
import { freshDatabase, freshTopicNames, servers } from "../support/servers.js";

describe("the servers that all tests share", () => {
  test("Kafka hands over the record that was sent, and creates no topic by itself", async () => {
    const kafka = new Kafka({ brokers: servers().kafkaBrokers.split(","), logLevel: logLevel.NOTHING });
    const topic = freshTopicNames("stack").jobs;
    const admin = kafka.admin();
    const producer = kafka.producer();
    const consumer = kafka.consumer({ groupId: `${topic}.group` });
    await Promise.all([admin.connect(), producer.connect(), consumer.connect()]);
    try {
      await expect(producer.send({ topic: `${topic}.unknown`, messages: [{ value: "x" }] })).rejects.toThrow();
      await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
      await producer.send({ topic, acks: -1, messages: [{ key: "a", value: "hello" }] });
      await consumer.subscribe({ topic, fromBeginning: true });
      const value = await new Promise<string | undefined>((resolve, reject) => {
        const eachMessage = ({ message }: { message: { value: Buffer | null } }): Promise<void> => {
          resolve(message.value?.toString());
          return Promise.resolve();
        };
        consumer.run({ eachMessage }).catch(reject);
      });
      expect(value).toBe("hello");
      expect(await admin.listTopics()).not.toContain(`${topic}.unknown`);
    } finally {
      await consumer.disconnect();
      await Promise.all([producer.disconnect(), admin.disconnect()]);
    }
  });

  test("Postgres is version 18 and keeps what it has committed", async () => {
    const database = await freshDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      const { rows } = await client.query<{ name: string; setting: string }>(
        "SELECT name, setting FROM pg_settings WHERE name = ANY($1)",
        [
          [
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "autovacuum",
            "server_encoding",
            "server_version",
            "TimeZone",
          ],
        ],
      );
      const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
      expect(settings).toMatchObject({
        fsync: "on",
        synchronous_commit: "on",
        full_page_writes: "on",
        autovacuum: "on",
        server_encoding: "UTF8",
      });
      expect(settings["server_version"]).toMatch(/^18\./);
    } finally {
      await client.end();
      await database.drop();
    }
  });

  test("two tests get two databases, and a dropped one is gone", async () => {
    const [first, second] = await Promise.all([freshDatabase(), freshDatabase()]);
    expect(first.url).not.toBe(second.url);
    await Promise.all([first.drop(), second.drop()]);
    const client = new pg.Client({ connectionString: first.url });
    await expect(client.connect()).rejects.toThrow("does not exist");
  });

  test("the registry gives back the schema that was registered", async () => {
    const { registryUrl } = servers();
    const subject = `${freshTopicNames("stack").jobs}-value`;
    const schema = JSON.stringify({ type: "record", name: "Greeting", fields: [{ name: "text", type: "string" }] });
    const registered = await fetch(`${registryUrl}/subjects/${subject}/versions`, {
      method: "POST",
      headers: { "content-type": "application/vnd.schemaregistry.v1+json" },
      body: JSON.stringify({ schema }),
    });
    const { id } = (await registered.json()) as { id: number };
    const read = await fetch(`${registryUrl}/schemas/ids/${String(id)}`);
    const answer = (await read.json()) as { schema: string };
    expect(JSON.parse(answer.schema)).toEqual(JSON.parse(schema));
  });

  test("Redis runs a script that asks for the server's time", async () => {
    const redis = new Redis(servers().redisUrl);
    try {
      expect(await redis.ping()).toBe("PONG");
      const seconds = await redis.eval("return tonumber(redis.call('TIME')[1])", 0);
      expect(seconds).toBeGreaterThan(1_700_000_000);
    } finally {
      redis.disconnect();
    }
  });
});
