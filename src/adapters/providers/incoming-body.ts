import type { HttpReply } from "./http.js";

type Broken = Extract<HttpReply, { readonly kind: "broken" }>;

/** More than this lies in memory only for the time that the socket needs to stop. */
const WAITING_BYTES_MAX = 1_048_576;

/** What the queue tells whoever feeds it. */
export interface BodySource {
  pause(): void;
  resume(): void;
  /** The reader wants no more. */
  cancel(): void;
}

/** A body on its way in, pulled chunk by chunk. Bounded: while nobody pulls, the socket is told to wait. One reader. */
export class IncomingBody {
  readonly #source: BodySource;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #broken: Broken | null = null;
  #wake: (() => void) | null = null;

  constructor(source: BodySource) {
    this.#source = source;
  }

  /** Why the body did not come whole; only meaningful after `next` gave null. */
  get broken(): Broken | null {
    return this.#broken;
  }

  /** The next bytes; null when no more come. */
  async next(): Promise<Buffer | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) return this.#taken(chunk);
      if (this.#ended) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  cancel(): void {
    this.#chunks = [];
    this.#ended = true;
    this.#source.cancel();
  }

  push(chunk: Buffer): void {
    if (this.#ended) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > WAITING_BYTES_MAX && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    }
    this.#wakeReader();
  }

  /** @param broken null when the body came whole. What came before it is still handed out. */
  end(broken: Broken | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#broken = broken;
    this.#wakeReader();
  }

  #taken(chunk: Buffer): Buffer {
    this.#bytes -= chunk.length;
    if (this.#paused && this.#bytes <= WAITING_BYTES_MAX / 2) {
      this.#paused = false;
      this.#source.resume();
    }
    return chunk;
  }

  #wakeReader(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
