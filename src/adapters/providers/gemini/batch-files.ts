import type { BatchCallFailure, BatchProvider, CallLimits } from "../../../ports/batch-provider.js";
import { deletedReply, isNotFound, isStatus, timeLeft } from "../batch-calls.js";
import type { BatchHttp } from "../batch-http.js";
import { payloadBody } from "../batch-payload.js";
import { headerOf } from "../http.js";
import type { HttpReply } from "../http.js";
import { objectIn } from "../json-object.js";
import { fromGeminiFile } from "./from-file.js";

const FILE_TYPE = "application/jsonl";
const JSONL = { before: "", after: "", separator: "\n" } as const;

/** Input files by resumable upload, under a name that we choose: found again by it, deleted as the fence of a create. */
export function geminiFiles(http: BatchHttp): Pick<BatchProvider, "upload" | "findFiles" | "deleteFile"> {
  return {
    upload: async ({ name, lines, linesBytes }, limits, signal) => {
      const left = timeLeft(limits);
      const begun = await beginUpload(http, name, linesBytes, left(), signal);
      if (begun.kind === "failed") return begun;
      const headers = [
        "content-type",
        FILE_TYPE,
        "x-goog-upload-command",
        "upload, finalize",
        "x-goog-upload-offset",
        "0",
      ];
      const body = payloadBody(JSONL, lines, linesBytes);
      const reply = await http.call({ method: "POST", path: begun.path, headers, body }, left(), signal);
      const read = http.read(reply, "file", (answer) => fromGeminiFile(objectIn(answer, "file")));
      return read.kind === "failed" ? read : { kind: "uploaded", file: read.value };
    },
    findFiles: async ({ name }, limits, signal) => {
      const reply = await http.call({ method: "GET", path: `${http.basePath}/files/${name}` }, limits, signal);
      if (isMissingFile(http, reply)) return { kind: "files", files: [] };
      const read = http.read(reply, "file", fromGeminiFile);
      return read.kind === "failed" ? read : { kind: "files", files: [read.value] };
    },
    deleteFile: async (fileId, limits, signal) => {
      const reply = await http.call({ method: "DELETE", path: `${http.basePath}/${fileId}` }, limits, signal);
      return deletedReply(http, reply, (answer) => isMissingFile(http, answer));
    },
  };
}

/** A file that is not there is answered like one of somebody else's: 403, "or it may not exist". */
export function isMissingFile(http: BatchHttp, reply: HttpReply): boolean {
  return isNotFound(reply) || (isStatus(reply, 403) && /may not exist/i.test(http.wordsOf(reply).message ?? ""));
}

/** Beside the API's own paths: `/upload/v1beta` for `/v1beta`. */
export function sidePath(http: BatchHttp, side: "upload" | "download"): string {
  const at = http.basePath.lastIndexOf("/");
  return `${http.basePath.slice(0, at)}/${side}${http.basePath.slice(at)}`;
}

type Begun = { readonly kind: "begun"; readonly path: string };

async function beginUpload(
  http: BatchHttp,
  name: string,
  bytes: number,
  limits: CallLimits,
  signal: AbortSignal,
): Promise<Begun | BatchCallFailure> {
  const body = JSON.stringify({ file: { name: `files/${name}`, displayName: name, mimeType: FILE_TYPE } });
  const headers = [
    ...["x-goog-upload-protocol", "resumable", "x-goog-upload-command", "start"],
    ...["x-goog-upload-header-content-length", String(bytes), "x-goog-upload-header-content-type", FILE_TYPE],
  ];
  const path = `${sidePath(http, "upload")}/files`;
  const reply = await http.call({ method: "POST", path, headers, body }, limits, signal);
  if (reply.kind === "broken" || reply.status !== 200) return http.failureOf(reply);
  const url = placeOf(headerOf(reply.headers, "x-goog-upload-url"));
  if (url?.origin !== http.origin) return http.unusable(reply, "no place at this host to send the file to");
  return { kind: "begun", path: url.pathname + url.search };
}

function placeOf(url: string | null): URL | null {
  return url !== null && URL.canParse(url) ? new URL(url) : null;
}
