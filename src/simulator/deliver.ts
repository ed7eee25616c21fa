import type { ServerResponse } from "node:http";
import type { Outcome } from "./faults.js";

const TRICKLE_STEP_MS = 50;

/** Sends the outcome's bytes in its manner. `idHeader` carries the id of the call. */
export function deliver(response: ServerResponse, outcome: Outcome, idHeader: string, requestId: string): void {
  const delivery = outcome.delivery;
  switch (delivery.kind) {
    case "whole":
      writeHead(response, outcome, idHeader, requestId);
      response.end(outcome.body);
      return;
    case "half":
      sendHalf(response, outcome, idHeader, requestId);
      return;
    case "trickle":
      writeHead(response, outcome, idHeader, requestId);
      trickle(response, Buffer.from(outcome.body), delivery.bytesPerS);
      return;
    case "cut":
      response.destroy();
      return;
    case "hold":
      return;
  }
}

function writeHead(response: ServerResponse, outcome: Outcome, idHeader: string, requestId: string): void {
  const headers = [idHeader, requestId, "content-length", String(Buffer.byteLength(outcome.body))];
  for (const name in outcome.headers) headers.push(name, outcome.headers[name] ?? "");
  response.writeHead(outcome.status, headers);
}

function sendHalf(response: ServerResponse, outcome: Outcome, idHeader: string, requestId: string): void {
  writeHead(response, outcome, idHeader, requestId);
  const bytes = Buffer.from(outcome.body);
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => response.destroy());
}

function trickle(response: ServerResponse, bytes: Buffer, bytesPerS: number): void {
  const stepMs = Math.max(TRICKLE_STEP_MS, 1000 / bytesPerS);
  const stepBytes = Math.max(1, Math.round((bytesPerS * stepMs) / 1000));
  let sent = 0;
  response.flushHeaders();
  const timer = setInterval(() => {
    response.write(bytes.subarray(sent, sent + stepBytes));
    sent += stepBytes;
    if (sent < bytes.length) return;
    clearInterval(timer);
    response.end();
  }, stepMs);
  response.once("close", () => {
    clearInterval(timer);
  });
}
