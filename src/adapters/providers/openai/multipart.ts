import type { Payload } from "../batch-payload.js";

/** The form of an upload, around its file. */
export interface UploadForm {
  readonly contentType: string;
  readonly payload: Payload;
}

/**
 * The delimiter begins with a line break and `--`. In a file of JSON lines each line begins with a brace and holds no line break, so no content
 * can look like it, and it needs no randomness.
 */
const BOUNDARY = "sluice-batch-file-boundary";

/** @param fileName of characters that need no escaping in a header. */
export function uploadForm(fileName: string): UploadForm {
  const field = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n`;
  const file = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${fileName}"\r\ncontent-type: application/jsonl\r\n\r\n`;
  return {
    contentType: `multipart/form-data; boundary=${BOUNDARY}`,
    payload: { before: field + file, after: `\r\n--${BOUNDARY}--\r\n`, separator: "\n" },
  };
}
