import { createReadStream } from "node:fs";
import type { CallResponse } from "./call-messages.js";
import type { Outcome, OutcomeBody } from "./faults.js";

const TRICKLE_STEP_MS = 50;

/** Sends the outcome's bytes in its manner. `idHeader` carries the id of the call, where there is one. */
export function deliver(response: CallResponse, outcome: Outcome, idHeader: string | null, requestId: string): void {
  const delivery = outcome.delivery;
  switch (delivery.kind) {
    case "whole":
      sendWhole(response, outcome, idHeader, requestId);
      return;
    case "half":
      writeHead(response, outcome, idHeader, requestId);
      sendHalf(response, outcome.body);
      return;
    case "trickle":
      writeHead(response, outcome, idHeader, requestId);
      trickle(response, outcome.body, delivery.bytesPerS);
      return;
    case "cut":
      response.destroy();
      return;
    case "hold":
      return;
  }
}

/** On every call's way. */
function sendWhole(response: CallResponse, outcome: Outcome, idHeader: string | null, requestId: string): void {
  const { body } = outcome;
  const bytes = lengthOf(body);
  const isAscii = typeof body === "string" && bytes === body.length;
  // The headers of what is billed are all the simulator's own.
  if (isAscii && outcome.billed !== null && outcome.status === 200 && response.canEndAtOnce) {
    response.endAtOnce(headLines(outcome, bytes, idHeader, requestId), body);
    return;
  }
  response.writeHead(outcome.status, headOf(outcome, bytes, idHeader, requestId));
  if (typeof body !== "string") pipeFile(response, body);
  else response.end(body);
}

function headLines({ headers }: Outcome, bytes: number, idHeader: string | null, requestId: string): string {
  let lines = idHeader === null ? "" : `${idHeader}: ${requestId}\r\n`;
  lines += `content-length: ${String(bytes)}\r\n`;
  for (let at = 0; at + 1 < headers.length; at += 2) lines += `${headers[at] ?? ""}: ${headers[at + 1] ?? ""}\r\n`;
  return lines;
}

function lengthOf(body: OutcomeBody): number {
  return typeof body === "string" ? Buffer.byteLength(body) : body.bytes;
}

function headOf({ headers }: Outcome, bytes: number, idHeader: string | null, requestId: string): string[] {
  const length = ["content-length", String(bytes)];
  return idHeader === null ? [...length, ...headers] : [idHeader, requestId, ...length, ...headers];
}

function writeHead(response: CallResponse, outcome: Outcome, idHeader: string | null, requestId: string): void {
  response.writeHead(outcome.status, headOf(outcome, lengthOf(outcome.body), idHeader, requestId));
}

function pipeFile(response: CallResponse, file: { readonly path: string; readonly bytes: number }): void {
  if (file.bytes === 0) {
    response.end();
    return;
  }
  const stream = createReadStream(file.path, { end: file.bytes - 1 });
  stream.once("error", () => response.destroy());
  response.once("close", () => stream.destroy());
  stream.pipe(response);
}

function sendHalf(response: CallResponse, body: OutcomeBody): void {
  const bytes = Math.floor(lengthOf(body) / 2);
  if (typeof body === "string") {
    response.write(Buffer.from(body).subarray(0, bytes), () => response.destroy());
    return;
  }
  const stream = createReadStream(body.path, { end: Math.max(0, bytes - 1) });
  stream.once("error", () => response.destroy());
  stream.once("end", () => response.write("", () => response.destroy()));
  response.once("close", () => stream.destroy());
  stream.pipe(response, { end: false });
}

/** Steps of one size at one pace; a file is read step by step. */
function trickle(response: CallResponse, body: OutcomeBody, bytesPerS: number): void {
  const stepMs = Math.max(TRICKLE_STEP_MS, 1000 / bytesPerS);
  const stepBytes = Math.max(1, Math.round((bytesPerS * stepMs) / 1000));
  const steps = stepsOf(body, stepBytes);
  response.flushHeaders();
  const timer = setInterval(() => {
    const step = steps.next();
    if (step !== null) {
      response.write(step);
      return;
    }
    clearInterval(timer);
    response.end();
  }, stepMs);
  response.once("close", () => {
    clearInterval(timer);
    steps.stop();
  });
}

type Steps = { readonly next: () => Buffer | null; readonly stop: () => void };

function stepsOf(body: OutcomeBody, stepBytes: number): Steps {
  if (typeof body !== "string") {
    const stream = createReadStream(body.path, { end: Math.max(0, body.bytes - 1), highWaterMark: stepBytes });
    stream.pause();
    return {
      // Nothing read yet is not the end: an empty step waits for the next turn.
      next: () => (stream.readableEnded ? null : ((stream.read() as Buffer | null) ?? Buffer.alloc(0))),
      stop: () => stream.destroy(),
    };
  }
  const bytes = Buffer.from(body);
  let sent = 0;
  return {
    next: () => {
      if (sent >= bytes.length) return null;
      sent += stepBytes;
      return bytes.subarray(sent - stepBytes, sent);
    },
    stop: () => undefined,
  };
}
