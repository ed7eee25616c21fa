/** Every call that is not a direct one: files, batches, token counts. One `Operation` a method and path. */
import type { IncomingHttpHeaders } from "node:http";
import type { BatchEngine } from "./batch-engine.js";
import type { CallRequest } from "./call-messages.js";
import type { FileStore } from "./file-store.js";
import type { Limits } from "./limits.js";
import type { PriceTable } from "./price-table.js";
import type { Refusal } from "./refusal.js";
import type { SimulatedClock } from "./simulated-clock.js";

export type OperationCall = {
  readonly requestId: string;
  /** The account's label; files and batches belong to it. */
  readonly account: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** `http://host:port` as the caller addressed it, for addresses in answers. */
  readonly baseUrl: string;
  /** Parsed JSON when the operation's body is "json" (undefined when the call has none and may), else undefined. */
  readonly body: unknown;
  /** Unread when the operation's body is "stream". */
  readonly request: CallRequest;
};

export type OperationAnswer =
  | { readonly status: number; readonly json: unknown; readonly headers?: readonly string[] }
  /** The bytes of a stored file; sent as a stream. */
  | { readonly status: number; readonly path: string; readonly bytes: number; readonly contentType: string }
  | { readonly refusal: Refusal };

export type Operation = {
  /** By which fault rules name it: "openai.batches.create". */
  readonly name: string;
  readonly method: "GET" | "POST" | "DELETE";
  /** Literal but for `{name}`, which stands for at least one character other than "/" ("/v1/files/{file}/content", "/v1beta/models/{model}:embedContent"). */
  readonly path: string;
  /**
   * "json": read whole, at most 32 MiB, parsed; a body that is no JSON is refused. "optional_json": the same, or none at all.
   * "stream": handed over unread. "none": ignored.
   */
  readonly body: "none" | "json" | "optional_json" | "stream";
  handle(call: OperationCall): OperationAnswer | Promise<OperationAnswer>;
};

/** What operations work with. */
export type EngineParts = {
  readonly clock: SimulatedClock;
  readonly files: FileStore;
  readonly batches: BatchEngine;
  readonly prices: PriceTable;
  readonly limits: Limits;
  readonly seed: number;
};
