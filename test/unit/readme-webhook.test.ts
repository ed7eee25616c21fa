/** The receiver of webhooks that the README shows does what it says, as it stands there, against deliveries of the real sender. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { openWebhook, signatureOf } from "../../src/adapters/webhook/signed-webhook.js";

const SECRET = "a secret of both";
const NOTICE = {
  eventId: "e-1",
  body: JSON.stringify({ kind: "alert.raised", message: "Währung: 95 % von 10 €, 予算" }),
};

/** Answers 204 to what is from Sluice, 401 to all else. */
const SERVER = `
import { createServer } from "node:http";
import { isFromSluice } from "./receiver.mjs";
const server = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  response.writeHead(isFromSluice(request.headers, Buffer.concat(parts), ${JSON.stringify(SECRET)}) ? 204 : 401).end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
`;

let folder: string;
let receiver: ChildProcess;
let url: string;

beforeAll(async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const snippets = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code ?? "");
  const [snippet, ...others] = snippets.filter((code) => code.includes("isFromSluice"));
  if (snippet === undefined || others.length > 0) throw new Error("expected one snippet of a receiver in README.md");
  folder = await mkdtemp(join(tmpdir(), "sluice-readme-"));
  await writeFile(join(folder, "receiver.mjs"), snippet);
  await writeFile(join(folder, "server.mjs"), SERVER);
  const started = spawn(process.execPath, [join(folder, "server.mjs")], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  receiver = started;
  const [port] = (await once(createInterface(started.stdout), "line")) as [string];
  url = `http://127.0.0.1:${port}/`;
});

afterAll(async () => {
  const ended = once(receiver, "exit");
  receiver.stdin?.end(); // it ends with its input
  await ended;
  await rm(folder, { recursive: true });
});

/** What the receiver makes of a delivery by the real sender. */
async function delivered(secret: string, agoMs = 0): Promise<string> {
  const webhook = openWebhook({ url, secret, timeoutMs: 10_000, nowMs: () => Date.now() - agoMs });
  const answer = await webhook.send(NOTICE);
  await webhook.close();
  return answer.kind === "delivered" ? "taken" : answer.reason;
}

/** What it makes of a request that is made up. */
async function posted(headers: Readonly<Record<string, string>>, body = NOTICE.body): Promise<number> {
  const answer = await fetch(url, { method: "POST", headers, body });
  await answer.arrayBuffer();
  return answer.status;
}

describe("the receiver in the README", () => {
  test("takes what Sluice sends", async () => {
    expect(await delivered(SECRET)).toBe("taken");
  });

  test.each([
    ["with another secret", "another", 0],
    ["of long ago, sent again", SECRET, 301_000],
    ["of a clock far ahead", SECRET, -330_000],
  ])("refuses one %s", async (_what, secret, agoMs) => {
    expect(await delivered(secret, agoMs)).toBe("status 401");
  });

  const now = () => String(Math.floor(Date.now() / 1000));
  const signed = (timestamp: string, body = NOTICE.body) => ({
    "sluice-timestamp": timestamp,
    "sluice-signature": signatureOf(SECRET, timestamp, body),
  });

  test("refuses another body, another time, and what is not signed", async () => {
    const timestamp = now();
    expect(await posted(signed(timestamp))).toBe(204);
    expect(await posted(signed(timestamp), `${NOTICE.body} `)).toBe(401);
    expect(await posted({ ...signed(timestamp), "sluice-timestamp": String(Number(timestamp) - 1) })).toBe(401);
    expect(await posted({ "sluice-timestamp": timestamp })).toBe(401);
    expect(await posted({})).toBe(401);
  });

  test("refuses a signature over no time at all, which would be good for ever", async () => {
    expect(await posted(signed("no time"))).toBe(401);
    expect(await posted({ "sluice-signature": signatureOf(SECRET, "undefined", NOTICE.body) })).toBe(401);
  });
});
