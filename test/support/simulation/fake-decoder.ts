import type { ValueDecoder, ValueDecoding } from "../../../src/ports/value-decoder.js";
import { SCHEMA_ID } from "./fixture.js";
import type { Life, World } from "./world.js";

const FRAME_BYTES = 5;

/** Decodes what `framedJobValue` wrote, with a registry that knows one schema and is away at times. */
export class FakeDecoder implements ValueDecoder {
  readonly #world: World;
  readonly #life: Life;
  readonly #trouble: () => number;
  /** How often the registry could not be asked. */
  readonly #away: () => void;

  constructor(world: World, life: Life, trouble: () => number, away: () => void) {
    this.#world = world;
    this.#life = life;
    this.#trouble = trouble;
    this.#away = away;
  }

  async decode(value: Buffer): Promise<ValueDecoding> {
    await this.#world.step(this.#life, "decode");
    if (this.#world.random.chance(this.#trouble())) {
      this.#away();
      return { kind: "unavailable", message: "the registry does not answer" };
    }
    const id = value.readUInt32BE(1);
    if (id !== SCHEMA_ID)
      return { kind: "refused", code: "UNKNOWN_SCHEMA", message: `there is no schema ${String(id)}` };
    const fields = JSON.parse(value.subarray(FRAME_BYTES).toString("utf8")) as Record<string, unknown>; // written by framedJobValue
    return { kind: "decoded", document: { fields, unknownFields: [] } };
  }
}
