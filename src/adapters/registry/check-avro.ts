import { isUtf8 } from "node:buffer";
import avro from "avsc";
import type { Type } from "avsc";

/**
 * Walks Avro bytes by their writer's schema before they are decoded. The decoder itself believes every length and count: twelve
 * bytes that announce a list of 2^40 items would keep it busy until memory ends, and bytes that are not UTF-8 would become U+FFFD.
 * Source: Avro 1.11 specification, "Binary encoding".
 */
export interface AvroProblem {
  readonly code: "BAD_AVRO" | "BAD_UTF8";
  /** The field where it is, as a person writes it; empty for the value itself. */
  readonly path: string;
  readonly message: string;
}

const { types } = avro;
const DEPTH_MAX = 64;
const VARINT_BYTES_MAX = 10;

/** @returns null when the bytes are exactly one value of the type. */
export function checkAvro(type: Type, payload: Buffer): AvroProblem | null {
  const walk = new AvroWalk(payload);
  try {
    walk.value(type, "", 0);
  } catch (error) {
    if (error instanceof AvroFault) return error.problem;
    throw error;
  }
  const left = payload.length - walk.position;
  return left === 0
    ? null
    : { code: "BAD_AVRO", path: "", message: `expected the end of the value, got ${String(left)} bytes more` };
}

/** Ends the walk from any depth; never leaves this file. */
class AvroFault extends Error {
  readonly problem: AvroProblem;
  constructor(problem: AvroProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

class AvroWalk {
  position = 0;
  private readonly payload: Buffer;
  /** Items without bytes (a list of nulls) are bounded by this. */
  private itemsLeft: number;

  constructor(payload: Buffer) {
    this.payload = payload;
    this.itemsLeft = payload.length + 1024;
  }

  value(type: Type, path: string, depth: number): void {
    if (depth > DEPTH_MAX) throw fault(path, `expected at most ${String(DEPTH_MAX)} levels, got more`);
    switch (type.typeName) {
      case "null":
        break;
      case "boolean":
        this.skip(1, path);
        break;
      case "float":
        this.skip(4, path);
        break;
      case "double":
        this.skip(8, path);
        break;
      case "int":
      case "long":
        this.long(path);
        break;
      case "bytes":
        this.skip(this.size(path), path);
        break;
      case "string":
        this.text(path);
        break;
      default:
        this.composite(type, path, depth + 1);
    }
  }

  private composite(type: Type, path: string, depth: number): void {
    if (type instanceof types.RecordType) {
      for (const field of type.fields) this.value(field.type, join(path, field.name), depth);
    } else if (type instanceof types.UnwrappedUnionType || type instanceof types.WrappedUnionType) {
      const branch = type.types[this.index(type.types.length, path)];
      if (branch !== undefined) this.value(branch, path, depth);
    } else if (type instanceof types.ArrayType) {
      this.blocks(path, () => {
        this.value(type.itemsType, `${path}[]`, depth);
      });
    } else if (type instanceof types.MapType) {
      const values = type.valuesType as Type; // `any` in avsc's own types
      this.blocks(path, () => {
        this.text(path);
        this.value(values, `${path}{}`, depth);
      });
    } else if (type instanceof types.EnumType) {
      this.index(type.symbols.length, path);
    } else if (type instanceof types.FixedType) {
      this.skip(type.size, path);
    } else if (type instanceof types.LogicalType) {
      this.value(type.underlyingType, path, depth);
    } else throw fault(path, `expected a type of Avro, got ${type.typeName}`);
  }

  private blocks(path: string, item: () => void): void {
    for (let count = this.long(path); count !== 0; count = this.long(path)) {
      const size = count < 0 ? this.size(path) : null;
      const start = this.position;
      this.itemsLeft -= Math.abs(count);
      if (this.itemsLeft < 0) throw fault(path, `expected no more items than bytes, got ${String(Math.abs(count))}`);
      for (let left = Math.abs(count); left > 0; left -= 1) item();
      if (size !== null && this.position - start !== size)
        throw fault(path, "expected a block of the size it states, got another");
    }
  }

  private text(path: string): void {
    const size = this.size(path);
    const start = this.position;
    this.skip(size, path);
    if (!isUtf8(this.payload.subarray(start, this.position))) {
      throw new AvroFault({
        code: "BAD_UTF8",
        path,
        message: "expected UTF-8, got bytes that are not; nothing was replaced",
      });
    }
  }

  private size(path: string): number {
    const size = this.long(path);
    if (size < 0) throw fault(path, `expected a length, got ${String(size)}`);
    return size;
  }

  private index(count: number, path: string): number {
    const index = this.long(path);
    if (index < 0 || index >= count)
      throw fault(path, `expected one of ${String(count)} branches, got number ${String(index)}`);
    return index;
  }

  private skip(bytes: number, path: string): void {
    if (bytes > this.payload.length - this.position) {
      throw fault(path, `expected ${String(bytes)} bytes, got ${String(this.payload.length - this.position)}`);
    }
    this.position += bytes;
  }

  /** A zigzag varint. Beyond 2^53 the result is rounded, which no length or count of a real value comes near. */
  private long(path: string): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < VARINT_BYTES_MAX; count += 1) {
      const byte = this.payload[this.position];
      if (byte === undefined) throw fault(path, "expected a number, got the end of the value");
      this.position += 1;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    }
    throw fault(path, `expected a number of at most ${String(VARINT_BYTES_MAX)} bytes, got more`);
  }
}

function fault(path: string, message: string): AvroFault {
  return new AvroFault({ code: "BAD_AVRO", path, message });
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
