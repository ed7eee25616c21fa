import type fc from "fast-check";

/** Something that reads what comes from outside. */
export interface FuzzTarget<Input> {
  readonly name: "json record" | "avro record" | "batch results" | "provider answer" | "config";
  readonly inputs: fc.Arbitrary<Input>;
  /**
   * Reads one input and looks at what came of it.
   * @returns a word for it, so that a run shows that it went more ways than one.
   * @throws Error for whatever must not be; what it reads must throw nothing but that.
   */
  readonly read: (input: Input) => string | Promise<string>;
}

/** @throws Error with the text unless it holds. */
export function mustHold(holds: boolean, text: string): void {
  if (!holds) throw new Error(text);
}

/** Longest text that a refusal or a failure may tell people. */
const MESSAGE_CHARACTERS_MAX = 4_000;

export function mustBeShort(message: string): void {
  mustHold(message.length <= MESSAGE_CHARACTERS_MAX, `a message of ${String(message.length)} characters`);
}
