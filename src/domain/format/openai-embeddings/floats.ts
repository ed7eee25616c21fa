import { writeJson } from "../json.js";
import type { Json } from "../json.js";

/** Embeddings in base64: 32-bit floats, lowest byte first. */

const FLOAT_BYTES = 4;

export function floatsFromBase64(base64: string): readonly number[] {
  const bytes = Buffer.from(base64, "base64");
  return Array.from({ length: Math.floor(bytes.length / FLOAT_BYTES) }, (_none, at) =>
    bytes.readFloatLE(at * FLOAT_BYTES),
  );
}

export function floatsToBase64(values: readonly Json[]): string {
  const bytes = Buffer.alloc(values.length * FLOAT_BYTES);
  values.forEach((value, at) => bytes.writeFloatLE(numberOf(value), at * FLOAT_BYTES));
  return bytes.toString("base64");
}

/** The nearest that a float can be, for a number of more digits too. */
function numberOf(value: Json): number {
  return typeof value === "number" ? value : Number(writeJson(value));
}
