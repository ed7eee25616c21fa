import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { startSimulator } from "../../src/simulator/simulator.js";
import type { Simulator } from "../../src/simulator/simulator.js";

const BODY = JSON.stringify({ model: "gpt-4.1-mini", messages: [{ role: "user", content: "hello there" }] });
const REFUSED = JSON.stringify({ model: "gpt-4.1-mini", messages: [] });

let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator();
});

afterAll(async () => {
  await simulator.close();
});

function head(length: string, more: readonly string[] = []): string {
  const lines = ["POST /v1/chat/completions HTTP/1.1", "host: simulator", "authorization: Bearer key"];
  return [...lines, "content-type: application/json", length, ...more, "", ""].join("\r\n");
}

function requestOf(body: string, more: readonly string[] = []): string {
  return `${head(`content-length: ${String(body.length)}`, more)}${body}`;
}

type Answer = { readonly head: string; readonly body: string };

/** The answers in `text`, by their content-length; what is not whole yet is left out. */
function answersIn(text: string): readonly Answer[] {
  const end = text.indexOf("\r\n\r\n");
  const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
  if (end < 0 || text.length < end + 4 + length) return [];
  const body = text.slice(end + 4, end + 4 + length);
  return [{ head: text.slice(0, end), body }, ...answersIn(text.slice(end + 4 + length))];
}

/** Writes the pieces one after the other on one connection and waits for so many answers. */
async function exchange(pieces: readonly string[], count: number): Promise<readonly Answer[]> {
  const socket = connect(Number(new URL(simulator.url).port), "127.0.0.1");
  socket.setNoDelay(true).setEncoding("latin1");
  let text = "";
  const enough = new Promise<void>((resolve, reject) => {
    socket.on("data", (piece: string) => {
      text += piece;
      if (answersIn(text).length >= count) resolve();
    });
    socket.once("error", reject);
    socket.once("close", resolve);
  });
  for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve));
  await enough;
  socket.destroy();
  return answersIn(text);
}

function namesOf(answer: Answer | undefined): readonly string[] {
  const lines = (answer?.head ?? "").split("\r\n").slice(1);
  return lines.map((line) => line.slice(0, line.indexOf(":")));
}

function textOf(answer: Answer | undefined): unknown {
  const json: unknown = JSON.parse(answer?.body ?? "null");
  return json;
}

describe("the simulator's messages", () => {
  it("gives an answer a head that ends as Node ends a refusal's", async () => {
    const [answer, refusal] = await exchange([requestOf(BODY), requestOf(REFUSED)], 2);
    expect(answer?.head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(refusal?.head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(namesOf(answer)).toEqual([
      ...["x-request-id", "content-length", "content-type"],
      ...["limit-requests", "remaining-requests", "reset-requests"].map((name) => `x-ratelimit-${name}`),
      ...["limit-tokens", "remaining-tokens", "reset-tokens"].map((name) => `x-ratelimit-${name}`),
      ...["Date", "Connection", "Keep-Alive"],
    ]);
    const ends = [answer, refusal].map((one) => (one?.head ?? "").split("\r\n").slice(-2));
    expect(ends).toEqual(Array.from({ length: 2 }, () => ["Connection: keep-alive", "Keep-Alive: timeout=75"]));
    expect(answer?.head).toMatch(/\r\nDate: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/);
  });

  it("closes the connection when the caller asks for it", async () => {
    const [answer] = await exchange([requestOf(BODY, ["connection: close"])], 2);
    expect(answer?.head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer?.head).toMatch(/\r\nConnection: close$/);
  });

  it("takes a body in pieces and in chunks", async () => {
    const cut = [head(`content-length: ${String(BODY.length)}`), BODY.slice(0, 7), BODY.slice(7, 30), BODY.slice(30)];
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    const chunks = [head("transfer-encoding: chunked"), chunk(BODY.slice(0, 9)), chunk(BODY.slice(9)), "0\r\n\r\n"];
    const [whole] = await exchange([requestOf(BODY)], 1);
    const said = (answer: Answer | undefined): unknown => (textOf(answer) as { choices: unknown } | null)?.choices;
    expect(said((await exchange(cut, 1))[0])).toEqual(said(whole));
    expect(said((await exchange(chunks, 1))[0])).toEqual(said(whole));
  });

  it("answers calls in their order when they come all at once", async () => {
    const answers = await exchange([[BODY, REFUSED, BODY, BODY].map((body) => requestOf(body)).join("")], 4);
    expect(answers.map((one) => one.head.slice(0, 12))).toEqual(
      [200, 400, 200, 200].map((status) => `HTTP/1.1 ${String(status)}`),
    );
  });

  it("counts a call that was cut off within its body as open no more", async () => {
    const socket = connect(Number(new URL(simulator.url).port), "127.0.0.1");
    const before = simulator.stats();
    socket.write(`${head(`content-length: ${String(BODY.length)}`)}${BODY.slice(0, 10)}`);
    while (simulator.stats().requests === before.requests) await new Promise(setImmediate);
    expect(simulator.stats().open).toBe(1);
    socket.destroy();
    while (simulator.stats().open > 0) await new Promise(setImmediate);
    expect(simulator.stats().calls).toBe(before.calls);
  });
});
