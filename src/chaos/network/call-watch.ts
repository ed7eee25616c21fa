/**
 * Watches one HTTP/1.1 connection without keeping a body: whether a request is out on it whose answer has not passed in whole. By this a
 * broken connection is known to have carried a call in the air. Requests follow one another on a connection, as our client sends them.
 */
export class CallWatch {
  readonly #isCall: (requestLine: string) => boolean;
  #open: "none" | "other" | "call" = "none";
  #answeredMs: number | null = null;
  #head = Buffer.alloc(0);
  /** Of the answer that passes now; null: its head has not passed. */
  #bodyBytesLeft: number | null = null;

  /** @param isCall tells from a request's first line whether it is a call that costs money. */
  constructor(isCall: (requestLine: string) => boolean) {
    this.#isCall = isCall;
  }

  /** Bytes came from the client. */
  request(chunk: Buffer): void {
    if (this.#open !== "none") return;
    const end = chunk.indexOf("\r\n");
    const line = chunk.subarray(0, end < 0 ? Math.min(chunk.length, REQUEST_LINE_BYTES_MAX) : end).toString("latin1");
    this.#open = this.#isCall(line) ? "call" : "other";
  }

  /** Bytes of an answer went to the client. */
  answer(chunk: Buffer, nowMs: number): void {
    if (this.#open === "none") return;
    const body = this.#bodyBytesLeft === null ? this.#afterHead(chunk) : chunk.length;
    if (this.#bodyBytesLeft === null) return;
    this.#bodyBytesLeft -= body;
    if (this.#bodyBytesLeft > 0) return;
    if (this.#open === "call") this.#answeredMs = nowMs;
    this.#open = "none";
    this.#bodyBytesLeft = null;
  }

  get callIsOpen(): boolean {
    return this.#open === "call";
  }

  /** Its answer's head has passed, and not yet all of its body. */
  get callIsBeingAnswered(): boolean {
    return this.#open === "call" && this.#bodyBytesLeft !== null;
  }

  get exchangeIsOpen(): boolean {
    return this.#open !== "none";
  }

  /** When the last answer to a call had passed in whole, by the clock of `answer`; null: none has. */
  get answeredAtMs(): number | null {
    return this.#answeredMs;
  }

  /** @returns how many bytes of the chunk belong to the body. */
  #afterHead(chunk: Buffer): number {
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf("\r\n\r\n");
    if (end < 0) {
      // No head is as long: what came is no HTTP, and nothing is known of its end.
      if (this.#head.length > HEAD_BYTES_MAX) this.#head = Buffer.alloc(0);
      return 0;
    }
    const body = this.#head.length - (end + 4);
    this.#bodyBytesLeft = contentLength(this.#head.subarray(0, end).toString("latin1"));
    this.#head = Buffer.alloc(0);
    return body;
  }
}

const REQUEST_LINE_BYTES_MAX = 2048;
const HEAD_BYTES_MAX = 64 * 1024;

/** 0 without one: an answer of unknown length counts as there with its head. */
function contentLength(head: string): number {
  return Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
}
