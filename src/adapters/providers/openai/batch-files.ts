import type { BatchProvider, StoredFile } from "../../../ports/batch-provider.js";
import { deletedReply, isNotFound, pageOf, timeLeft } from "../batch-calls.js";
import type { BatchHttp } from "../batch-http.js";
import { isOlderThan } from "../batch-answers.js";
import { payloadBody } from "../batch-payload.js";
import { FILE_ENDING, fromOpenaiFile } from "./from-file.js";
import { uploadForm } from "./multipart.js";

const PAGE_FILES = 1_000;

/** Input files: `POST /files`, found again by their name, deleted as the fence of a create. */
export function openaiFiles(http: BatchHttp): Pick<BatchProvider, "upload" | "findFiles" | "deleteFile"> {
  const filesPath = `${http.basePath}/files`;
  return {
    upload: async ({ name, lines, linesBytes }, limits, signal) => {
      const { contentType, payload } = uploadForm(name + FILE_ENDING);
      const body = payloadBody(payload, lines, linesBytes);
      const headers = ["content-type", contentType];
      const reply = await http.call({ method: "POST", path: filesPath, headers, body }, limits, signal);
      const read = http.read(reply, "file", fromOpenaiFile);
      return read.kind === "failed" ? read : { kind: "uploaded", file: read.value };
    },
    findFiles: async ({ name, sinceMs }, limits, signal) => {
      const left = timeLeft(limits);
      const files: StoredFile[] = [];
      for (let after: string | null = ""; after !== null;) {
        const query = `?purpose=batch&order=desc&limit=${String(PAGE_FILES)}${after === "" ? "" : `&after=${after}`}`;
        const path = filesPath + query;
        // Page after page: each says where the next one begins.
        const reply = await http.call({ method: "GET", path }, left(), signal);
        const read = http.read(reply, "list of files", (body) => pageOf(body, "data", fromOpenaiFile));
        if (read.kind === "failed") return read;
        const { items, hasMore } = read.value;
        files.push(...items.filter((file) => file.name === name));
        after = hasMore && !isOlderThan(sinceMs, items) ? (items.at(-1)?.fileId ?? null) : null;
      }
      return { kind: "files", files };
    },
    deleteFile: async (fileId, limits, signal) =>
      deletedReply(
        http,
        await http.call({ method: "DELETE", path: `${filesPath}/${fileId}` }, limits, signal),
        isNotFound,
      ),
  };
}
