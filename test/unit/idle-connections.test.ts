/** A connection of kafkajs looks for requests to send only while some wait. */
import { createRequire } from "node:module";
import { beforeAll, expect, test } from "@jest/globals";
import { letIdleConnectionsRest } from "../../src/adapters/kafka/idle-connections.js";

/** As far as it is used here: kafkajs 2.2.4, src/network/requestQueue/index.js. */
interface RequestQueue {
  readonly throttleCheckTimeoutId: unknown;
  push(request: { entry: object; expectResponse: boolean; sendRequest: () => void }): void;
  fulfillRequest(answer: { correlationId: number; payload: object; size: number }): void;
  maybeThrottle(ms: number): void;
}

const Queue = createRequire(import.meta.url)("kafkajs/src/network/requestQueue") as new (
  options: object,
) => RequestQueue; // the pinned version's own file

function newQueue(maxInFlightRequests: number | null): RequestQueue {
  const nothing = (): void => undefined;
  return new Queue({
    maxInFlightRequests,
    ...{ requestTimeout: 30_000, enforceRequestTimeout: false, clientId: "c", broker: "b:9092" },
    ...{ logger: { debug: nothing }, isConnected: () => true },
  });
}

/** @returns resolves with the request's number once it is sent. */
function push(queue: RequestQueue, correlationId: number): Promise<number> {
  return new Promise((resolve) => {
    const entry = { correlationId, resolve: () => undefined, reject: () => undefined };
    queue.push({
      entry,
      expectResponse: true,
      sendRequest: () => {
        resolve(correlationId);
      },
    });
  });
}

beforeAll(() => {
  letIdleConnectionsRest();
  letIdleConnectionsRest(); // again, which does nothing
});

test("sets no timer when its last request is answered", async () => {
  const queue = newQueue(null);
  await push(queue, 1);
  queue.fulfillRequest({ correlationId: 1, payload: {}, size: 0 });
  expect(queue.throttleCheckTimeoutId).toBeNull();
});

test("sends what had to wait for an answer", async () => {
  const queue = newQueue(1);
  await push(queue, 1);
  const second = push(queue, 2);
  queue.fulfillRequest({ correlationId: 1, payload: {}, size: 0 });
  expect(await second).toBe(2);
});

test("sends what a broker held back, once its time is over, and rests then", async () => {
  const queue = newQueue(null);
  queue.maybeThrottle(30);
  const held = push(queue, 1);
  expect(queue.throttleCheckTimeoutId).not.toBeNull();
  expect(await held).toBe(1);
  expect(queue.throttleCheckTimeoutId).toBeNull();
});
