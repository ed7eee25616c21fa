import kafkajs from "kafkajs";
import { Pool } from "undici";

/**
 * What the gateway is measured against: consume, call, produce, nothing else. kafkajs `eachBatch`, a number of calls in flight, one `send`
 * a batch with acks=all, undici with the same agent settings. No ledger, no dedupe, no cost, no doubt: a kill loses or repeats work.
 */
const [brokers = "", inTopic = "", outTopic = "", origin = "", inFlight = "64"] = process.argv.slice(2);
const { Kafka, logLevel } = kafkajs;
const kafka = new Kafka({ brokers: brokers.split(","), clientId: "bare-loop", logLevel: logLevel.NOTHING });
const consumer = kafka.consumer({
  groupId: `bare-${inTopic}`,
  sessionTimeout: 6000,
  heartbeatInterval: 1500,
  maxWaitTimeInMs: 200,
});
const producer = kafka.producer({ allowAutoTopicCreation: false });
const pool = new Pool(origin, { connections: Number(inFlight), pipelining: 1 });
let free = Number(inFlight);
const waiting: (() => void)[] = [];

async function slot(): Promise<void> {
  if (free > 0) free -= 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
}

function release(): void {
  const next = waiting.shift();
  if (next === undefined) free += 1;
  else next();
}

async function call(value: Buffer): Promise<string> {
  await slot();
  try {
    // The edge: our own benchmark jobs.
    const job = JSON.parse(value.toString("utf8")) as { body: Record<string, unknown> };
    const answer = await pool.request({
      method: "POST",
      path: "/v1/chat/completions",
      headers: { authorization: "Bearer bench", "content-type": "application/json" },
      body: JSON.stringify({ ...job.body, model: "gpt-4.1-mini" }),
    });
    return await answer.body.text();
  } finally {
    release();
  }
}

await Promise.all([consumer.connect(), producer.connect()]);
await consumer.subscribe({ topic: inTopic, fromBeginning: true });
consumer.on(consumer.events.GROUP_JOIN, () => process.stdout.write('{"ready":true}\n'));
await consumer.run({
  autoCommit: true,
  eachBatchAutoResolve: true,
  partitionsConsumedConcurrently: 12,
  eachBatch: async ({ batch }) => {
    const answers = await Promise.all(
      batch.messages.map(async (message) => ({
        key: message.key,
        value: await call(message.value ?? Buffer.alloc(0)),
      })),
    );
    await producer.send({ topic: outTopic, acks: -1, messages: answers });
  },
});
process.stdin.on("end", () => process.exit(0)).resume();
