import type { StreamBody } from "./http-stream.js";

/** Lines of a batch on their way out, between what the provider wants around them. */
export interface Payload {
  readonly before: string;
  readonly after: string;
  /** One byte. `\n` also stands behind the last line; `,` only between two. */
  readonly separator: "\n" | ",";
}

/** Small writes cost a system call each. */
const CHUNK_BYTES = 65_536;

/** @param linesBytes sum over the lines of (bytes + 1). */
export function payloadBody(payload: Payload, lines: AsyncIterable<Uint8Array>, linesBytes: number): StreamBody {
  const around = Buffer.byteLength(payload.before) + Buffer.byteLength(payload.after);
  const withinBytes = payload.separator === "\n" ? linesBytes : Math.max(0, linesBytes - 1);
  return { bytes: around + withinBytes, chunks: chunksOf(payload, lines) };
}

async function* chunksOf(payload: Payload, lines: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const separator = Buffer.from(payload.separator);
  let waiting: Uint8Array[] = [Buffer.from(payload.before)];
  let waitingBytes = 0;
  let isFirst = true;
  for await (const line of lines) {
    if (payload.separator === ",") waiting.push(...(isFirst ? [line] : [separator, line]));
    else waiting.push(line, separator);
    isFirst = false;
    waitingBytes += line.length + 1;
    if (waitingBytes < CHUNK_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
  }
  yield Buffer.concat([...waiting, Buffer.from(payload.after)]);
}

/** JSON text as one line. A JSON text holds raw line breaks only between its tokens; the other characters, which some readers take for breaks, only in strings. */
export function onOneLine(jsonText: string): string {
  return /[\r\n\u0085\u2028\u2029]/.test(jsonText)
    ? jsonText.replace(/[\r\n]+/g, " ").replace(/[\u0085\u2028\u2029]/g, escaped)
    : jsonText;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
