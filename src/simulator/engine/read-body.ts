import { isAscii, isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { CallRequest } from "./call-messages.js";

const JSON_TYPE = "application/json";
export const BODY_BYTES_MAX = 32 * 1024 * 1024;

/** Reads a request's body, and hands over null when it is longer than allowed. Calls back at most once, never after an abort. */
export function readBody(request: CallRequest, done: (body: Buffer | null) => void): void {
  if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES_MAX) {
    done(null);
    return;
  }
  const pieces: Buffer[] = [];
  let bytes = 0;
  request.takeBody((piece) => {
    if (piece === null) {
      const first = pieces[0];
      done(pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces, bytes));
      return;
    }
    pieces.push(piece);
    bytes += piece.length;
    if (bytes <= BODY_BYTES_MAX) return;
    request.dropRest();
    done(null);
  });
}

/** What a JSON body says, or in words why it is none. */
export function parseJsonBody(
  request: IncomingMessage,
  body: Buffer,
): { readonly json: unknown } | { readonly wrong: string } {
  const type = request.headers["content-type"] ?? "";
  if (type !== JSON_TYPE && type.split(";", 1)[0]?.trim().toLowerCase() !== JSON_TYPE)
    return { wrong: "The header content-type must be application/json." };
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    return { wrong: `A body with content-encoding ${encoding} is not accepted.` };
  // Most bodies are ASCII, which is quicker to decode as what it is.
  const encodingOfText = isAscii(body) ? "latin1" : "utf8";
  if (encodingOfText === "utf8" && !isUtf8(body)) return { wrong: "The body is not valid UTF-8." };
  try {
    return { json: JSON.parse(body.toString(encodingOfText)) };
  } catch {
    return { wrong: "The body is not valid JSON." };
  }
}
