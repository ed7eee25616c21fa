/**
 * Gemini's files: resumable upload, list, get, delete, and the download of a batch's results.
 *
 * Source: providers.md 5.4, the files guide, the official SDK 2.32; that a taken name is refused when the upload is
 * finalised (not when it starts) is from googleapis/python-genai #913. Read 2026-11-26.
 */
import { randomBytes } from "node:crypto";
import type { StoredFile } from "../engine/file-store.js";
import type { EngineParts, Operation, OperationAnswer, OperationCall } from "../engine/operation.js";
import { readBody } from "../engine/read-body.js";
import type { Refusal } from "../engine/refusal.js";
import { badRequest, fileDenied, geminiError, invalidArgument, invalidField, quotaExhausted } from "./errors.js";
import { fileJson } from "./file-json.js";
import { numberAt, objectAt, textAt } from "./json-reading.js";
import { nextPage, readPage, withParameters } from "./pages.js";
import { readProto } from "./proto-message.js";
import { FILE_REQUEST } from "./request-fields.js";
import { giveUp, receive } from "./uploads.js";
import type { Upload, UploadPlan, Uploads } from "./uploads.js";

const FILE_BYTES_MAX = 2 * 1024 ** 3;
const PROJECT_BYTES_MAX = 20 * 1024 ** 3;
const KEPT_MS = 48 * 3_600_000;
const MINUTE_MS = 60_000;
const PAGE_SIZE = 10;
const PAGE_SIZE_MAX = 100;
const DISPLAY_NAME_MAX = 512;
/** Pieces but the last are a multiple of this. */
const GRANULARITY_BYTES = 262_144;
const FILE_NAME = /^files\/([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)$/;
const PATH = "/v1beta/files/{file}";

/** The files operations of one server. `uploads` is shared with the reading of keys. */
export function fileOperations(parts: EngineParts, uploads: Uploads): readonly Operation[] {
  const files = new Files(parts, uploads);
  const operation = (
    name: string,
    method: Operation["method"],
    path: string,
    handle: Operation["handle"],
    parameters: readonly string[] = [],
  ): Operation => ({
    name: `gemini.files.${name}`,
    method,
    path,
    body: "none",
    handle: withParameters(parameters, handle),
  });
  return [
    {
      name: "gemini.files.upload",
      method: "POST",
      path: "/upload/v1beta/files",
      body: "stream",
      handle: (call) => files.upload(call),
    },
    operation("list", "GET", "/v1beta/files", (call) => files.list(call), ["pageSize", "pageToken"]),
    operation("download", "GET", `${PATH}:download`, (call) => files.download(call)),
    operation("download", "GET", `/download${PATH}:download`, (call) => files.download(call)),
    operation("get", "GET", PATH, (call) => files.get(call)),
    operation("delete", "DELETE", PATH, (call) => files.remove(call)),
  ];
}

class Files {
  readonly #parts: EngineParts;
  readonly #uploads: Uploads;

  constructor(parts: EngineParts, uploads: Uploads) {
    this.#parts = parts;
    this.#uploads = uploads;
  }

  async upload(call: OperationCall): Promise<OperationAnswer> {
    const id = call.query.get("upload_id");
    const commands = headerOf(call, "x-goog-upload-command")
      .split(",")
      .map((word) => word.trim());
    if (id === null) return this.#start(call, commands);
    const upload = this.#uploads.find(id);
    if (upload === null) return { refusal: geminiError(404, "Upload not found. It may have been given up.") };
    return this.#continue(call, upload, commands);
  }

  async #start(call: OperationCall, commands: readonly string[]): Promise<OperationAnswer> {
    if (headerOf(call, "x-goog-upload-protocol") !== "resumable")
      return { refusal: invalidArgument("Uploads other than X-Goog-Upload-Protocol: resumable are not simulated.") };
    if (commands.length !== 1 || commands[0] !== "start")
      return { refusal: invalidArgument("An upload begins with X-Goog-Upload-Command: start.") };
    const plan = planOf(call, await wholeText(call));
    if ("refusal" in plan) return plan;
    const refusal = this.#spaceProblem(call.account, plan.bytes ?? 0);
    if (refusal !== null) return { refusal };
    const upload = this.#uploads.start(this.#parts.files, keyOf(call), call.account, plan);
    const url = `${call.baseUrl}/upload/v1beta/files?upload_id=${upload.id}&upload_protocol=resumable`;
    const headers = ["x-goog-upload-url", url, "x-goog-upload-control-url", url, ...statusHeaders(upload)];
    return { status: 200, json: {}, headers };
  }

  #spaceProblem(account: string, bytes: number): Refusal | null {
    const { files, limits, clock } = this.#parts;
    if (bytes > FILE_BYTES_MAX)
      return invalidArgument(`The file is larger than ${String(FILE_BYTES_MAX)} bytes, the most a file may have.`);
    const kept = files.list("gemini", account).reduce((sum, file) => sum + file.bytes, 0);
    if (kept + bytes > PROJECT_BYTES_MAX) return geminiError(429, "The project's file storage is full.");
    return limits.takeUpload(account, clock.now()) ? null : quotaExhausted("FileUploadsPerMinute", MINUTE_MS);
  }

  async #continue(call: OperationCall, upload: Upload, commands: readonly string[]): Promise<OperationAnswer> {
    if (commands.includes("query")) return this.#standing(call, upload);
    if (commands.includes("cancel")) {
      giveUp(upload);
      return { status: 200, json: {}, headers: statusHeaders(upload) };
    }
    if (!commands.includes("upload") && !commands.includes("finalize"))
      return { refusal: invalidArgument("X-Goog-Upload-Command must be upload, finalize, query or cancel.") };
    if (upload.status !== "active") return this.#standing(call, upload);
    if (commands.includes("upload")) {
      const refusal = await takePiece(call, upload, commands.includes("finalize"));
      if (refusal !== null) return { refusal: { ...refusal, headers: statusHeaders(upload) } };
    }
    return commands.includes("finalize") ? this.#finalise(call, upload) : this.#standing(call, upload);
  }

  #standing(call: OperationCall, upload: Upload): OperationAnswer {
    const received = ["x-goog-upload-size-received", String(upload.writer.bytes)];
    const file = upload.file;
    const json = file === null ? {} : { file: fileJson(file, this.#parts.clock.now(), call.baseUrl) };
    return { status: 200, json, headers: [...statusHeaders(upload), ...received] };
  }

  #finalise(call: OperationCall, upload: Upload): OperationAnswer {
    const { files, clock } = this.#parts;
    const { plan, writer, account } = upload;
    const refusal = this.#finalProblem(upload);
    if (refusal !== null) {
      giveUp(upload);
      return { refusal: { ...refusal, headers: statusHeaders(upload) } };
    }
    upload.status = "final";
    upload.file = files.keep(writer.done(), {
      provider: "gemini",
      account,
      id: plan.fileId ?? randomBytes(6).toString("hex"),
      expiresMs: clock.now() + KEPT_MS,
      listed: true,
      details: { displayName: plan.displayName, mimeType: plan.mimeType },
    });
    return this.#standing(call, upload);
  }

  #finalProblem({ plan, writer, account }: Upload): Refusal | null {
    if (plan.bytes !== null && plan.bytes !== writer.bytes) {
      const came = `${String(writer.bytes)} bytes came`;
      return invalidArgument(`The upload was announced with ${String(plan.bytes)} bytes, and ${came}.`);
    }
    const taken = plan.fileId !== null && this.#parts.files.find("gemini", account, plan.fileId) !== null;
    return taken ? geminiError(409, `${plan.fileId} already exists.`) : null;
  }

  list({ account, query, baseUrl }: OperationCall): OperationAnswer {
    const page = readPage(query, "ListFilesRequest", PAGE_SIZE, PAGE_SIZE_MAX);
    if ("refusal" in page) return page;
    const { files, clock } = this.#parts;
    const { items, token } = nextPage(files.list("gemini", account), page);
    const shown = items.map((file) => fileJson(file, clock.now(), baseUrl));
    return { status: 200, json: { ...(shown.length === 0 ? {} : { files: shown }), ...token } };
  }

  get(call: OperationCall): OperationAnswer {
    const file = this.#listed(call);
    if (file === null) return { refusal: fileDenied(call.params["file"] ?? "") };
    return { status: 200, json: fileJson(file, this.#parts.clock.now(), call.baseUrl) };
  }

  remove(call: OperationCall): OperationAnswer {
    const file = this.#listed(call);
    if (file === null) return { refusal: fileDenied(call.params["file"] ?? "") };
    this.#parts.files.remove(file);
    return { status: 200, json: {} };
  }

  /** Only what a batch wrote can be had back; what was uploaded can't. */
  download({ account, params, query }: OperationCall): OperationAnswer {
    const id = params["file"] ?? "";
    const file = this.#parts.files.find("gemini", account, id);
    if (file === null) return { refusal: fileDenied(id) };
    if (file.details["isResult"] !== true) return { refusal: invalidArgument(`The File ${id} cannot be downloaded.`) };
    if (query.get("alt") !== "media") return { refusal: invalidArgument("A download needs alt=media.") };
    return { status: 200, path: this.#parts.files.pathOf(file), bytes: file.bytes, contentType: "application/jsonl" };
  }

  #listed({ account, params }: OperationCall): StoredFile | null {
    const file = this.#parts.files.find("gemini", account, params["file"] ?? "");
    return file?.listed === true ? file : null;
  }
}

function headerOf(call: OperationCall, name: string): string {
  const value = call.headers[name];
  return typeof value === "string" ? value.toLowerCase() : "";
}

function wholeText(call: OperationCall): Promise<string | null> {
  return new Promise((resolve) => {
    readBody(call.request, (body) => {
      resolve(body === null ? null : body.toString("utf8"));
    });
  });
}

/** The key is remembered with the upload, for the calls that carry its address in place of a key. */
function keyOf({ headers, query }: OperationCall): string {
  const own = headers["x-goog-api-key"];
  return typeof own === "string" ? own : (query.get("key") ?? "");
}

function statusHeaders(upload: Upload): readonly string[] {
  const status = ["x-goog-upload-status", upload.status];
  return upload.status === "active"
    ? [...status, "x-goog-upload-chunk-granularity", String(GRANULARITY_BYTES)]
    : status;
}

function planOf(call: OperationCall, text: string | null): UploadPlan | { readonly refusal: Refusal } {
  const read = readPlanBody(text);
  if ("refusal" in read) return read;
  const file = objectAt(read.body, "file") ?? {};
  const name = textAt(file, "name") ?? "";
  const fileId = FILE_NAME.exec(name)?.[1] ?? null;
  if (name !== "" && fileId === null) {
    const rule = "may have up to 40 lower-case letters, digits and dashes, and no dash at its ends.";
    return { refusal: invalidField("CreateFileRequest", "file.name", `the id after files/ ${rule}`) };
  }
  const displayName = textAt(file, "displayName");
  if (displayName !== null && displayName.length > DISPLAY_NAME_MAX) {
    const rule = `may have at most ${String(DISPLAY_NAME_MAX)} characters.`;
    return { refusal: invalidField("CreateFileRequest", "file.display_name", rule) };
  }
  const announced = call.headers["x-goog-upload-header-content-type"];
  const mimeType = typeof announced === "string" ? announced : (textAt(file, "mimeType") ?? "");
  if (mimeType === "") return { refusal: invalidArgument("Unsupported MIME type: ") };
  const length = headerOf(call, "x-goog-upload-header-content-length");
  const bytes = /^\d{1,15}$/.test(length) ? Number(length) : numberAt(file, "sizeBytes");
  return { fileId, displayName, mimeType, bytes };
}

function readPlanBody(
  text: string | null,
): { readonly body: Readonly<Record<string, unknown>> } | { readonly refusal: Refusal } {
  if (text === null) return { refusal: invalidArgument("The metadata of an upload is too long.") };
  if (text.trim() === "") return { body: {} };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { refusal: invalidArgument("Invalid JSON payload received. Unexpected token.") };
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    return { refusal: invalidArgument("Invalid JSON payload received. Expected an object.") };
  const read = readProto(FILE_REQUEST, json as Readonly<Record<string, unknown>>);
  return "violations" in read ? { refusal: badRequest(read.violations) } : read;
}

/** Takes one piece at the place where the last one ended. */
async function takePiece(call: OperationCall, upload: Upload, isLast: boolean): Promise<Refusal | null> {
  const offset = headerOf(call, "x-goog-upload-offset");
  const had = upload.writer.bytes;
  if (offset !== String(had)) {
    call.request.resume();
    return invalidArgument(`The upload goes on at offset ${String(had)}, not ${offset === "" ? "nowhere" : offset}.`);
  }
  const how = await receive(call.request, upload);
  if (how === "broken") return geminiError(499, "The connection was lost.");
  const came = upload.writer.bytes - had;
  if (upload.writer.bytes > FILE_BYTES_MAX) {
    giveUp(upload);
    return invalidArgument(`The file is larger than ${String(FILE_BYTES_MAX)} bytes, the most a file may have.`);
  }
  return isLast || came % GRANULARITY_BYTES === 0
    ? null
    : invalidArgument(`Pieces but the last must be a multiple of ${String(GRANULARITY_BYTES)} bytes long.`);
}
