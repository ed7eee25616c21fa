/** An error answer, before its provider writes it in its own shape; Anthropic's and Gemini's have no code and no param. */
export type Refusal = {
  readonly status: number;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
  readonly message: string;
  /** What a provider adds to the error in a shape of its own (Gemini's `details`, llama.cpp's token counts). */
  readonly details?: unknown;
  /** Header names and values that go with this answer, one after the other. */
  readonly headers?: readonly string[];
};
