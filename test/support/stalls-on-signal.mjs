// For `node --import`: from SIGUSR2 on, consumers that fetched before get no answer to a fetch any more, and no error: a silent stall. New ones
// are served.
import { createRequire } from "node:module";

const ConsumerGroup = createRequire(import.meta.url)("kafkajs/src/consumer/consumerGroup.js");
const { fetch } = ConsumerGroup.prototype;
const fetched = new Set();
const stalled = new Set();

process.on("SIGUSR2", () => {
  for (const consumer of fetched) stalled.add(consumer);
  process.stdout.write(`${JSON.stringify({ event: "test.stalled", consumers: stalled.size })}\n`);
});

ConsumerGroup.prototype.fetch = async function fetchOrStall(nodeId) {
  fetched.add(this);
  const batches = await fetch.call(this, nodeId);
  return stalled.has(this) ? new Promise(() => undefined) : batches;
};
