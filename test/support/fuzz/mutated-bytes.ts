import fc from "fast-check";

/** One change of some bytes. Places are parts of the length, so that a change means something whatever the bytes are. */
interface Change {
  readonly how: "flip" | "insert" | "cut" | "repeat" | "swap" | "wrap" | "end";
  readonly at: number;
  readonly length: number;
  readonly piece: Buffer;
}

/** What parsers stumble over. */
const PIECES: readonly (string | Buffer)[] = [
  ...[
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "-0",
    "1e999",
    "-1",
    "NaN",
    "12345678901234567890",
    "0.1e-400",
  ],
  ...[
    "\u0000",
    "\ufeff",
    "\u2028",
    "\u0085",
    "\r\n",
    "\n",
    "\r",
    "\t",
    " ",
    "\\u0000",
    "\\ud800",
    "\\udc00\\ud800",
    "\ufffd",
    "\u{1f600}",
  ],
  ...[
    '"__proto__":{"polluted":1},',
    '"constructor":{"prototype":{"polluted":1}},',
    '"toString":1,',
    '"hasOwnProperty":0,',
  ],
  ...[
    '"model":"a","model":"b",',
    '"usage":null,',
    '"usage":{"prompt_tokens":-1,"completion_tokens":1e18},',
    '"choices":{},',
    '"content":7,',
  ],
  ...["[".repeat(70), '{"a":'.repeat(70), "[".repeat(3_000), "]".repeat(70), "x".repeat(2_000), "9".repeat(400)],
  ...[
    "<html>",
    "${HOME}",
    "${file:/etc/passwd}",
    "&a [*a]",
    "*a",
    "!!js/function",
    "? ",
    "- ",
    "|\n ",
    "%YAML 9\n---\n",
    "a: &a [b, *a]\n",
  ],
  ...[
    Buffer.from([0xff]),
    Buffer.from([0xc0, 0x80]),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from([0, 0, 0, 0, 1]),
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]),
  ],
];

const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...PIECES.map((one) => Buffer.from(one))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)) },
);

const change: fc.Arbitrary<Change> = fc.record({
  how: fc.constantFrom("flip", "insert", "insert", "cut", "repeat", "swap", "wrap", "end"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.nat(40),
  piece,
});

/** Often none or one: after a few nothing parses any more. */
const changes = fc.oneof(
  { weight: 3, arbitrary: fc.array(change, { maxLength: 1, size: "max" }) },
  { weight: 2, arbitrary: fc.array(change, { maxLength: 4, size: "max" }) },
);

/** Longest input; a change that would make it longer is left out. */
const BYTES_MAX = 64 * 1024;

/** One of the seeds with a few changes, none of them included. Seeds that parse lead into every branch, and the changes off the path. */
export function mutatedBytes(seeds: readonly Buffer[]): fc.Arbitrary<Buffer> {
  return fc
    .tuple(fc.nat(seeds.length - 1), changes)
    .map(([index, made]) => made.reduce(changed, seeds[index] ?? Buffer.alloc(0)));
}

function changed(bytes: Buffer, { how, at, length, piece: inserted }: Change): Buffer {
  const place = Math.floor(at * bytes.length);
  const [before, after] = [bytes.subarray(0, place), bytes.subarray(place)];
  const next = Buffer.concat(parts(how, before, after, length, inserted));
  return next.length > BYTES_MAX ? bytes : next;
}

function parts(how: Change["how"], before: Buffer, after: Buffer, length: number, inserted: Buffer): readonly Buffer[] {
  switch (how) {
    case "flip":
      return [before, Buffer.from([(after[0] ?? 0) ^ (1 << (length % 8))]), after.subarray(1)];
    case "insert":
      return [before, inserted, after];
    case "cut":
      return [before, after.subarray(length)];
    case "repeat":
      return [before, after.subarray(0, length), after];
    case "swap":
      return [before, inserted, after.subarray(inserted.length)];
    case "wrap":
      return [inserted, before, after, inserted];
    case "end":
      return [before];
  }
}
