/**
 * Encodes arrays in PostgreSQL's binary array format. `pg` sends a Buffer parameter as binary, so a group of rows costs one
 * buffer a column instead of a quoted text literal (measured: several times less CPU, and no doubling of bytea by hex).
 * Source: PostgreSQL's array_send/array_recv: int32 dimensions, int32 has-null flag, int32 element oid, then per dimension int32
 * length and int32 lower bound, then per element int32 byte length (-1 for null) and the bytes.
 */
const OID = { bool: 16, bytea: 17, int8: 20, int2: 21, int4: 23, text: 25 } as const;
const HEADER_BYTES = 20;

function header(buffer: Buffer, oid: number, count: number, hasNull: boolean): void {
  buffer.writeInt32BE(count === 0 ? 0 : 1, 0);
  buffer.writeInt32BE(hasNull ? 1 : 0, 4);
  buffer.writeInt32BE(oid, 8);
  if (count === 0) return;
  buffer.writeInt32BE(count, 12);
  buffer.writeInt32BE(1, 16);
}

function fixed<Value>(
  oid: number,
  width: number,
  values: readonly (Value | null)[],
  write: (buffer: Buffer, value: Value, at: number) => void,
): Buffer {
  if (values.length === 0) return emptyArray(oid);
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + values.length * (4 + width));
  let at = HEADER_BYTES;
  let hasNull = false;
  for (const value of values) {
    if (value === null) {
      hasNull = true;
      buffer.writeInt32BE(-1, at);
      at += 4;
    } else {
      buffer.writeInt32BE(width, at);
      write(buffer, value, at + 4);
      at += 4 + width;
    }
  }
  header(buffer, oid, values.length, hasNull);
  return buffer.subarray(0, at);
}

function emptyArray(oid: number): Buffer {
  const buffer = Buffer.allocUnsafe(12);
  header(buffer, oid, 0, false);
  return buffer;
}

function writeInt8(buffer: Buffer, value: number | bigint, at: number): void {
  if (typeof value === "bigint") buffer.writeBigInt64BE(value, at);
  else {
    const high = Math.floor(value / 4294967296);
    buffer.writeInt32BE(high, at);
    buffer.writeUInt32BE(value - high * 4294967296, at + 4);
  }
}

/** `values`: whole numbers a double holds exactly, or bigints. */
export function int8Array(values: readonly (number | bigint | null)[]): Buffer {
  return fixed(OID.int8, 8, values, writeInt8);
}

export function int4Array(values: readonly (number | null)[]): Buffer {
  return fixed(OID.int4, 4, values, (buffer, value, at) => buffer.writeInt32BE(value, at));
}

export function int2Array(values: readonly (number | null)[]): Buffer {
  return fixed(OID.int2, 2, values, (buffer, value, at) => buffer.writeInt16BE(value, at));
}

export function boolArray(values: readonly (boolean | null)[]): Buffer {
  return fixed(OID.bool, 1, values, (buffer, value, at) => buffer.writeUInt8(value ? 1 : 0, at));
}

export function byteaArray(values: readonly (Buffer | null)[]): Buffer {
  if (values.length === 0) return emptyArray(OID.bytea);
  let size = HEADER_BYTES + values.length * 4;
  for (const value of values) size += value === null ? 0 : value.length;
  const buffer = Buffer.allocUnsafe(size);
  let at = HEADER_BYTES;
  let hasNull = false;
  for (const value of values) {
    if (value === null) {
      hasNull = true;
      buffer.writeInt32BE(-1, at);
      at += 4;
    } else {
      buffer.writeInt32BE(value.length, at);
      value.copy(buffer, at + 4);
      at += 4 + value.length;
    }
  }
  header(buffer, OID.bytea, values.length, hasNull);
  return buffer;
}

/** Text without NUL: PostgreSQL's text type has none, so free text of callers is kept as bytea or inside JSON. */
export function textArray(values: readonly (string | null)[]): Buffer {
  if (values.length === 0) return emptyArray(OID.text);
  const lengths = values.map((value) => (value === null ? 0 : Buffer.byteLength(value)));
  const buffer = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + length, HEADER_BYTES + values.length * 4));
  let at = HEADER_BYTES;
  let hasNull = false;
  values.forEach((value, index) => {
    const length = lengths[index] ?? 0;
    if (value === null) {
      hasNull = true;
      buffer.writeInt32BE(-1, at);
    } else {
      buffer.writeInt32BE(length, at);
      buffer.write(value, at + 4, "utf8");
    }
    at += 4 + length;
  });
  header(buffer, OID.text, values.length, hasNull);
  return buffer;
}
