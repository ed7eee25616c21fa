/**
 * Reads the requests of a new batch as they come in, and writes them to a file, one a line. What the caller may only get wrong at
 * once is checked here (the frame, the ids, the limits); each request's params are checked when their turn comes.
 *
 * Source: providers.md 4.5; the words follow the API's validator as users reported them. Read 2026-11-26.
 */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { isObject } from "../engine/field-checks.js";
import type { JsonObject } from "../engine/field-checks.js";
import type { FileWriter } from "../engine/file-store.js";
import type { Refusal } from "../engine/refusal.js";
import { tooDeepOr } from "../engine/too-deep.js";
import { invalid, refusalFor } from "./errors.js";
import { MemberSplitter, SplitError } from "./member-splitter.js";
import type { Split } from "./member-splitter.js";

export const BATCH_BYTES_MAX = 256 * 1024 * 1024;
export const BATCH_REQUESTS_MAX = 100_000;
/** A request is no longer than one that is sent directly. */
const REQUEST_BYTES_MAX = 32 * 1024 * 1024;
/** Lines are written together from this length on. */
const WRITTEN_CHARACTERS = 65_536;
const CUSTOM_ID_CHARACTERS_MAX = 64;
const CUSTOM_ID = /^[a-zA-Z0-9_-]+$/;

export type BatchInput = { readonly requests: number; readonly firstModel: string };

/** Thrown through the splitter; carries the answer. */
class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/**
 * Reads the whole body. Resolves with what it held, or with the refusal; then the writer holds nothing of use.
 * A broken connection resolves as a refusal that nobody will read.
 * Rejects when the requests can't be written.
 */
export function readBatchInput(
  request: IncomingMessage,
  writer: FileWriter,
): Promise<BatchInput | { readonly refusal: Refusal }> {
  const reader = new BatchInputReader(writer);
  return new Promise((resolve, reject) => {
    // A disk that is full, for one.
    const orReject = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        leave();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const onData = (chunk: Buffer): void => {
      orReject(() => {
        const refusal = reader.take(chunk);
        if (refusal !== null) refuse(refusal);
      });
    };
    const onEnd = (): void => {
      orReject(() => {
        resolve(reader.end());
      });
    };
    const leave = (): void => {
      request.off("data", onData);
      request.off("end", onEnd);
      request.resume();
    };
    const refuse = (refusal: Refusal): void => {
      leave();
      resolve({ refusal });
    };
    request.on("data", onData);
    request.once("end", onEnd);
    request.once("close", () => {
      resolve({ refusal: invalid("The connection was lost.") });
    });
  });
}

class BatchInputReader {
  readonly #writer: FileWriter;
  readonly #splitter: MemberSplitter;
  readonly #ids = new Set<string>();
  /** Lines that are not written yet. */
  #pending = "";
  #bytes = 0;
  #hasList = false;
  #firstModel = "";

  constructor(writer: FileWriter) {
    this.#writer = writer;
    this.#splitter = new MemberSplitter("requests", REQUEST_BYTES_MAX, (split) => {
      this.#takeSplit(split);
    });
  }

  take(chunk: Buffer): Refusal | null {
    this.#bytes += chunk.length;
    if (this.#bytes > BATCH_BYTES_MAX)
      return refusalFor(413, `Request exceeds the maximum size of ${String(BATCH_BYTES_MAX)} bytes.`);
    return this.#orRefused(() => {
      this.#splitter.write(chunk);
    });
  }

  end(): BatchInput | { readonly refusal: Refusal } {
    const refusal = this.#orRefused(() => {
      this.#splitter.end();
      if (!this.#hasList) throw new Refused(invalid("requests: Field required"));
      if (this.#ids.size === 0)
        throw new Refused(invalid("requests: List should have at least 1 item after validation, not 0"));
    });
    if (refusal !== null) return { refusal };
    this.#flush();
    return { requests: this.#ids.size, firstModel: this.#firstModel };
  }

  #orRefused(work: () => void): Refusal | null {
    try {
      work();
      return null;
    } catch (error) {
      if (error instanceof Refused) return error.refusal;
      if (error instanceof SplitError) return invalid(`The request body is not valid JSON: ${error.message}.`);
      return invalid(tooDeepOr(error));
    }
  }

  #takeSplit(split: Split): void {
    if (split.kind === "list") this.#hasList = true;
    else if (split.kind === "item") this.#takeRequest(split.bytes);
    else if (split.name === "requests") throw new Refused(invalid("requests: Input should be a valid list"));
    else throw new Refused(invalid(`${split.name}: Extra inputs are not permitted`));
  }

  #takeRequest(bytes: Buffer): void {
    const index = this.#ids.size;
    if (index >= BATCH_REQUESTS_MAX) {
      const [max, given] = [String(BATCH_REQUESTS_MAX), String(index + 1)];
      throw new Refused(invalid(`requests: List should have at most ${max} items after validation, not ${given}`));
    }
    const place = `requests.${String(index)}`;
    const request = parsedRequest(bytes, place);
    const refusal = frameProblem(request, place) ?? this.#idProblem(request["custom_id"], place);
    if (refusal !== null) throw new Refused(refusal);
    const params = request["params"];
    if (index === 0 && isObject(params) && typeof params["model"] === "string") this.#firstModel = params["model"];
    this.#pending += `${JSON.stringify(request)}\n`;
    if (this.#pending.length >= WRITTEN_CHARACTERS) this.#flush();
  }

  #flush(): void {
    this.#writer.write(Buffer.from(this.#pending));
    this.#pending = "";
  }

  #idProblem(id: unknown, place: string): Refusal | null {
    const problem = (what: string): Refusal => invalid(`${place}.custom_id: ${what}`);
    if (typeof id !== "string") return problem("Input should be a valid string");
    if (id.length === 0) return problem("String should have at least 1 character");
    if (id.length > CUSTOM_ID_CHARACTERS_MAX)
      return problem(`String should have at most ${String(CUSTOM_ID_CHARACTERS_MAX)} characters`);
    if (!CUSTOM_ID.test(id)) return problem("String should match pattern '^[a-zA-Z0-9_-]{1,64}$'");
    if (this.#ids.has(id)) return problem(`custom_id must be unique within the batch; '${id}' was given before`);
    this.#ids.add(id);
    return null;
  }
}

function parsedRequest(bytes: Buffer, place: string): JsonObject {
  let value: unknown;
  try {
    if (!isUtf8(bytes)) throw new SyntaxError("no UTF-8");
    value = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new Refused(invalid(`The request body is not valid JSON, at ${place}.`));
  }
  if (!isObject(value)) throw new Refused(invalid(`${place}: Input should be a valid dictionary`));
  return value;
}

function frameProblem(request: JsonObject, place: string): Refusal | null {
  const missing = ["custom_id", "params"].find((name) => !Object.hasOwn(request, name));
  if (missing !== undefined) return invalid(`${place}.${missing}: Field required`);
  const unknown = Object.keys(request).find((name) => name !== "custom_id" && name !== "params");
  if (unknown !== undefined) return invalid(`${place}.${unknown}: Extra inputs are not permitted`);
  return isObject(request["params"]) ? null : invalid(`${place}.params: Input should be a valid dictionary`);
}
