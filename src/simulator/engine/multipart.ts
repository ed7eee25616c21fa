/**
 * Reads a multipart/form-data body as a stream: a part's bytes are passed on as they come, and none is ever held whole. Takes what
 * clients send (RFC 7578): parts with a name, perhaps a file name and a type; no nested parts, no transfer encodings.
 */
import type { IncomingMessage } from "node:http";

export type PartHead = { readonly name: string; readonly filename: string | null };

/** Takes one part's bytes. */
export type PartSink = {
  /** false = enough: nothing more is read. */
  readonly write: (piece: Buffer) => boolean;
  readonly end: () => void;
};

/** "whole": all parts came. "stopped": a sink had enough. Otherwise what is wrong with the body, in words. */
export type MultipartEnd = "whole" | "stopped" | { readonly wrong: string };

const HEAD_BYTES_MAX = 16 * 1024;
const PARTS_MAX = 32;
const LINE_END = Buffer.from("\r\n");
const HEAD_END = Buffer.from("\r\n\r\n");

/** The boundary that a content-type names; null when it is no multipart form. */
export function boundaryOf(contentType: string | undefined): string | null {
  const match = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;]{1,70}))/i.exec(contentType ?? "");
  return match?.[1] ?? match?.[2] ?? null;
}

function parameterOf(header: string, name: string): string | null {
  const match = new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, "i").exec(header);
  if (match === null) return null;
  // Browsers and SDKs write a quote as %22 or with a backslash before it.
  return (match[1] ?? "").replace(/\\(.)/g, "$1").replaceAll("%22", '"');
}

function headOf(text: string): PartHead | null {
  const disposition = text.split("\r\n").find((line) => /^content-disposition\s*:/i.test(line));
  if (disposition === undefined || !/:\s*form-data\b/i.test(disposition)) return null;
  const name = parameterOf(disposition, "name");
  return name === null ? null : { name, filename: parameterOf(disposition, "filename") };
}

type State = "boundary" | "head" | "body" | "over";

/** Fed piece by piece; says at each whether it goes on. */
class MultipartParser {
  readonly #begin: (head: PartHead) => PartSink;
  /** What ends a part: a line end, two dashes and the boundary. */
  readonly #delimiter: Buffer;
  /** The first delimiter has no line end before it; giving it one makes all alike. */
  #rest: Buffer = LINE_END;
  #state: State = "body";
  #sink: PartSink | null = null;
  #parts = 0;

  constructor(boundary: string, begin: (head: PartHead) => PartSink) {
    this.#begin = begin;
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
  }

  /** null = goes on. */
  feed(piece: Buffer): MultipartEnd | null {
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    for (;;) {
      const end = this.#advance();
      if (end !== "again") return end;
    }
  }

  /** What a body that ends here means. */
  finish(): MultipartEnd {
    return this.#state === "over" ? "whole" : { wrong: "The multipart body ends before its last boundary." };
  }

  #advance(): MultipartEnd | "again" | null {
    switch (this.#state) {
      case "body":
        return this.#takeBody();
      case "boundary":
        return this.#takeBoundary();
      case "head":
        return this.#takeHead();
      case "over":
        this.#rest = Buffer.alloc(0);
        return null;
    }
  }

  #takeBody(): MultipartEnd | "again" | null {
    const at = this.#rest.indexOf(this.#delimiter);
    // What may be the beginning of a delimiter waits for the next piece.
    const sure = at >= 0 ? at : Math.max(0, this.#rest.length - this.#delimiter.length);
    if (sure > 0 && this.#sink !== null && !this.#sink.write(this.#rest.subarray(0, sure))) return "stopped";
    if (at < 0) {
      this.#rest = this.#rest.subarray(sure);
      return null;
    }
    this.#rest = this.#rest.subarray(at + this.#delimiter.length);
    this.#sink?.end();
    this.#sink = null;
    this.#state = "boundary";
    return "again";
  }

  #takeBoundary(): MultipartEnd | "again" | null {
    if (this.#rest.length < 2) return null;
    const after = this.#rest.toString("latin1", 0, 2);
    this.#rest = this.#rest.subarray(2);
    if (after === "--") this.#state = "over";
    else if (after === "\r\n") this.#state = "head";
    else return { wrong: "The multipart body has a broken boundary." };
    return "again";
  }

  #takeHead(): MultipartEnd | "again" | null {
    const at = this.#rest.indexOf(HEAD_END);
    if (at < 0)
      return this.#rest.length > HEAD_BYTES_MAX ? { wrong: "A part of the multipart body has too long a head." } : null;
    const head = headOf(this.#rest.toString("utf8", 0, at));
    this.#parts += 1;
    if (head === null) return { wrong: "A part of the multipart body has no name." };
    if (this.#parts > PARTS_MAX) return { wrong: "The multipart body has too many parts." };
    this.#rest = this.#rest.subarray(at + HEAD_END.length);
    this.#sink = this.#begin(head);
    this.#state = "body";
    return "again";
  }
}

/** Reads the request's body. Settles also when the caller goes away (as "wrong"); what sinks have then is not whole. */
export function readMultipart(
  request: IncomingMessage,
  boundary: string,
  begin: (head: PartHead) => PartSink,
): Promise<MultipartEnd> {
  const parser = new MultipartParser(boundary, begin);
  return new Promise((resolve, reject) => {
    const stop = (end: MultipartEnd): void => {
      request.off("data", onData);
      request.resume();
      resolve(end);
    };
    const onData = (piece: Buffer): void => {
      try {
        const end = parser.feed(piece);
        if (end !== null) stop(end);
      } catch (error) {
        // A disk that is full, for one.
        request.off("data", onData);
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    request.on("data", onData);
    request.once("end", () => {
      resolve(parser.finish());
    });
    request.once("close", () => {
      resolve({ wrong: "The request was cut off." });
    });
  });
}
