/**
 * The simulator's own rule for counting tokens. No real tokenizer: a checker can redo it by hand.
 *
 * - input: for each message (a system prompt is one) ceil(UTF-8 bytes of its texts / 4) + 3; 85 for each part that is not text,
 *   765 for an image that asks for high detail; ceil(UTF-8 bytes of their compact JSON / 4) for the tools, and likewise for a message's tool calls; + 3 for the request.
 * - output: one token for each word of the answer, words being separated by one space.
 */
export const TOKENS_PER_MESSAGE = 3;
export const TOKENS_PER_REQUEST = 3;
export const TOKENS_PER_OTHER_PART = 85;
export const TOKENS_PER_DETAILED_IMAGE = 765;

export function tokensOfText(textBytes: number): number {
  return Math.ceil(textBytes / 4);
}

export function tokensOfJson(value: unknown): number {
  return value === undefined || value === null ? 0 : tokensOfText(Buffer.byteLength(JSON.stringify(value)));
}

/** Collects the texts of a request in order, and counts its tokens. */
export class PromptMeter {
  readonly texts: string[] = [];
  #tokens = TOKENS_PER_REQUEST;

  /** @param texts the message's texts in order; @param otherParts how many of its parts are not text. */
  addMessage(texts: readonly string[], otherParts = 0): void {
    let bytes = 0;
    for (const piece of texts) {
      this.texts.push(piece);
      bytes += Buffer.byteLength(piece);
    }
    this.#tokens += TOKENS_PER_MESSAGE + tokensOfText(bytes) + otherParts * TOKENS_PER_OTHER_PART;
  }

  addTokens(tokens: number): void {
    this.#tokens += tokens;
  }

  addJson(value: unknown): void {
    this.#tokens += tokensOfJson(value);
  }

  get tokens(): number {
    return this.#tokens;
  }
}
