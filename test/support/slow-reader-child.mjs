// Downloads the paths given behind the origin, one after the other, and only begins to read a body a while after its head: in a process of
// its own, since what is tested may end it. Prints a line for each: bytes, their sum, why the body broke off.
import { register } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

register("./typescript-hooks.mjs", import.meta.url);
const { createStreamCaller } = await import("../../src/adapters/providers/http-stream.ts");

const [origin, pauseMs, ...paths] = process.argv.slice(2);
const caller = createStreamCaller({ origin, connectionsMax: 2, connectTimeoutMs: 5_000, idleTimeoutMs: 5_000 });
const limits = { timeoutMs: 30_000, sendWithinMs: 10_000, maySend: () => true };
for (const path of paths) {
  const answer = await caller.open(
    { method: "GET", path, headers: [], body: null, ...limits },
    new AbortController().signal,
  );
  process.stdout.write(`${JSON.stringify(answer.kind === "open" ? await slowly(answer.body) : answer)}\n`);
}
await caller.close();

async function slowly(body) {
  await sleep(Number(pauseMs));
  let bytes = 0;
  let sum = 0;
  for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) {
    bytes += chunk.length;
    for (const byte of chunk) sum += byte;
  }
  return { bytes, sum, because: body.broken?.because ?? null };
}
