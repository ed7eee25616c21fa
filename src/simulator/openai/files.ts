/** OpenAI's files: upload, list, show, read, delete. Source: API specification of 2026-08-21, read 2026-11-24. */
import { randomBytes } from "node:crypto";
import type { FileWriter, StoredFile, WrittenBytes } from "../engine/file-store.js";
import { boundaryOf, readMultipart } from "../engine/multipart.js";
import type { MultipartEnd, PartHead, PartSink } from "../engine/multipart.js";
import type { EngineParts, Operation, OperationAnswer, OperationCall } from "../engine/operation.js";
import type { Refusal } from "../engine/refusal.js";
import { invalid, refusalFor } from "./errors.js";
import { listQuery, page } from "./pages.js";

const FILE_BYTES_MAX = 512_000_000;
const BATCH_BYTES_MAX = 200_000_000;
const FIELD_BYTES_MAX = 4096;
const LIST_MAX = 10_000;
const EXPIRY_S_MIN = 3600;
const EXPIRY_S_MAX = 2_592_000;
/** How long a batch's files stay unless told otherwise. */
export const BATCH_FILE_KEPT_MS = 30 * 86_400_000;

const PURPOSES: ReadonlySet<string> = new Set(["assistants", "batch", "evals", "fine-tune", "user_data", "vision"]);
const FIELDS: ReadonlySet<string> = new Set(["purpose", "expires_after[anchor]", "expires_after[seconds]"]);

export function newFileId(): string {
  return `file-${randomBytes(12).toString("hex")}`;
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

/** A file as callers see it. */
function fileObject(file: StoredFile): Record<string, unknown> {
  return {
    object: "file",
    id: file.id,
    purpose: file.details["purpose"],
    filename: file.details["filename"],
    bytes: file.bytes,
    created_at: seconds(file.createdMs),
    expires_at: file.expiresMs === null ? null : seconds(file.expiresMs),
    status: "processed",
    status_details: null,
  };
}

/** What an upload's parts were, once all have come. */
type Upload = {
  readonly fields: ReadonlyMap<string, string>;
  readonly filename: string | null;
  readonly written: WrittenBytes | null;
  readonly tooLong: boolean;
};

/** Writes the file to disk as it comes, and collects the small fields. */
class UploadReader {
  readonly #open: () => FileWriter;
  readonly #fields = new Map<string, string>();
  #filename: string | null = null;
  #writer: FileWriter | null = null;
  #tooLong = false;

  constructor(open: () => FileWriter) {
    this.#open = open;
  }

  begin(head: PartHead): PartSink {
    return head.name === "file" && this.#writer === null ? this.#fileSink(head.filename) : this.#fieldSink(head.name);
  }

  #fileSink(filename: string | null): PartSink {
    const writer = this.#open();
    this.#writer = writer;
    this.#filename = filename;
    return {
      write: (piece) => {
        writer.write(piece);
        this.#tooLong = writer.bytes > FILE_BYTES_MAX;
        return !this.#tooLong;
      },
      end: () => undefined,
    };
  }

  #fieldSink(name: string): PartSink {
    const pieces: Buffer[] = [];
    let bytes = 0;
    return {
      write: (piece) => {
        bytes += piece.length;
        pieces.push(Buffer.from(piece));
        return bytes <= FIELD_BYTES_MAX;
      },
      end: () => {
        this.#fields.set(name, Buffer.concat(pieces).toString("utf8"));
      },
    };
  }

  end(): Upload {
    const written = this.#writer?.done() ?? null;
    return { fields: this.#fields, filename: this.#filename, written, tooLong: this.#tooLong };
  }

  abandon(): void {
    this.#writer?.abandon();
  }
}

/** The field by which an upload fails; null = it passes. */
function uploadRefusal({ fields, filename, written, tooLong }: Upload, batchBytesMax: number): Refusal | null {
  const unknown = [...fields.keys()].find((name) => !FIELDS.has(name));
  if (unknown !== undefined) return invalid(`Unknown parameter: '${unknown}'.`, unknown, "unknown_parameter");
  if (written === null) return invalid("Missing required parameter: 'file'.", "file", "missing_required_parameter");
  const purpose = fields.get("purpose");
  if (purpose === undefined)
    return invalid("Missing required parameter: 'purpose'.", "purpose", "missing_required_parameter");
  if (!PURPOSES.has(purpose))
    return invalid(`'${purpose}' is not one of [${[...PURPOSES].join(", ")}] - 'purpose'`, "purpose", "invalid_value");
  const isBatch = purpose === "batch";
  if (tooLong || (isBatch && written.bytes > batchBytesMax))
    return invalid(
      `The file is larger than ${String(isBatch ? batchBytesMax : FILE_BYTES_MAX)} bytes.`,
      "file",
      null,
      413,
    );
  if (isBatch && !(filename ?? "").endsWith(".jsonl"))
    return invalid("Invalid file format for Batch API. Must be .jsonl", "file", null);
  return expiryRefusal(fields);
}

function expiryRefusal(fields: ReadonlyMap<string, string>): Refusal | null {
  const anchor = fields.get("expires_after[anchor]");
  const stated = fields.get("expires_after[seconds]");
  if (anchor === undefined && stated === undefined) return null;
  if (anchor !== "created_at")
    return invalid("Invalid 'expires_after.anchor': expected 'created_at'.", "expires_after.anchor", "invalid_value");
  const span = Number(stated);
  if (!Number.isInteger(span) || span < EXPIRY_S_MIN || span > EXPIRY_S_MAX) {
    const range = `an integer from ${String(EXPIRY_S_MIN)} to ${String(EXPIRY_S_MAX)}`;
    return invalid(`Invalid 'expires_after.seconds': expected ${range}.`, "expires_after.seconds", "invalid_value");
  }
  return null;
}

function unknownFile(id: string): { readonly refusal: Refusal } {
  return { refusal: invalid(`No such File object: ${id}`, "id", null, 404) };
}

export class OpenAiFiles {
  readonly #parts: EngineParts;

  constructor(parts: EngineParts) {
    this.#parts = parts;
  }

  operations(): readonly Operation[] {
    const one = "/v1/files/{file}";
    const named = (
      name: string,
      method: Operation["method"],
      path: string,
      body: Operation["body"],
      handle: Operation["handle"],
    ): Operation => ({ name: `openai.files.${name}`, method, path, body, handle });
    return [
      named("create", "POST", "/v1/files", "stream", (call) => this.#create(call)),
      named("list", "GET", "/v1/files", "none", (call) => this.#list(call)),
      named("get", "GET", one, "none", (call) =>
        this.#withFile(call, (file) => ({ status: 200, json: fileObject(file) })),
      ),
      named("delete", "DELETE", one, "none", (call) => this.#withFile(call, (file) => this.#delete(file))),
      named("content", "GET", `${one}/content`, "none", (call) => this.#withFile(call, (file) => this.#content(file))),
    ];
  }

  async #create(call: OperationCall): Promise<OperationAnswer> {
    const { files, limits, clock } = this.#parts;
    const boundary = boundaryOf(call.headers["content-type"]);
    if (boundary === null) return { refusal: refusalFor(400, "The header content-type must be multipart/form-data.") };
    if (!limits.takeUpload(call.account, clock.now()))
      return { refusal: refusalFor(429, "Too many uploads in a minute.") };
    const reader = new UploadReader(() => files.writer());
    let end: MultipartEnd;
    try {
      end = await readMultipart(call.request, boundary, (head) => reader.begin(head));
    } catch (error) {
      reader.abandon();
      throw error;
    }
    if (typeof end === "object") {
      reader.abandon();
      return { refusal: refusalFor(400, end.wrong) };
    }
    return this.#keep(call, reader.end(), end === "stopped");
  }

  #keep(call: OperationCall, upload: Upload, wasStopped: boolean): OperationAnswer {
    const { files, limits, clock } = this.#parts;
    const batchBytesMax = Math.min(BATCH_BYTES_MAX, limits.batchBytesMax ?? Infinity);
    const refusal = uploadRefusal(upload, batchBytesMax) ?? (wasStopped ? tooLongField() : null);
    const { written, fields } = upload;
    if (refusal !== null || written === null) {
      if (written !== null) files.discard(written);
      return { refusal: refusal ?? refusalFor(400, "There is no file.") };
    }
    const purpose = fields.get("purpose");
    const stated = fields.get("expires_after[seconds]");
    const keptMs = stated !== undefined ? Number(stated) * 1000 : purpose === "batch" ? BATCH_FILE_KEPT_MS : null;
    const file = files.keep(written, {
      provider: "openai",
      account: call.account,
      id: newFileId(),
      expiresMs: keptMs === null ? null : clock.now() + keptMs,
      listed: true,
      details: { purpose, filename: upload.filename ?? "file" },
    });
    return { status: 200, json: fileObject(file) };
  }

  #list(call: OperationCall): OperationAnswer {
    const query = listQuery(call.query, { limitMax: LIST_MAX, limit: LIST_MAX, more: ["purpose", "order"] });
    if ("refusal" in query) return query;
    const order = call.query.get("order") ?? "desc";
    if (order !== "asc" && order !== "desc")
      return { refusal: invalid("Invalid 'order': expected 'asc' or 'desc'.", "order", "invalid_value") };
    const purpose = call.query.get("purpose");
    const all = this.#parts.files
      .list("openai", call.account)
      .filter((file) => purpose === null || file.details["purpose"] === purpose);
    return page(order === "asc" ? [...all].reverse() : all, query, fileObject);
  }

  #withFile(call: OperationCall, then: (file: StoredFile) => OperationAnswer): OperationAnswer {
    const id = call.params["file"] ?? "";
    const file = this.#parts.files.find("openai", call.account, id);
    return file?.listed === true ? then(file) : unknownFile(id);
  }

  #delete(file: StoredFile): OperationAnswer {
    this.#parts.files.remove(file);
    return { status: 200, json: { object: "file", deleted: true, id: file.id } };
  }

  #content(file: StoredFile): OperationAnswer {
    const path = this.#parts.files.pathOf(file);
    return { status: 200, path, bytes: file.bytes, contentType: "application/octet-stream" };
  }
}

function tooLongField(): Refusal {
  return invalid(`A field of the form is longer than ${String(FIELD_BYTES_MAX)} bytes.`, null, null);
}
