import { createRequire } from "node:module";
import { isOurs, produceRequest, type ProduceRequestOf } from "./produce-encoding.js";
import { encodeRecord } from "./record-encoding.js";

const require = createRequire(import.meta.url);
const RECORD = "kafkajs/src/protocol/recordBatch/record/v0/index.js";
const PRODUCE = "kafkajs/src/protocol/requests/produce/v3/request.js"; // the later versions are this one under another number

/**
 * Puts our encoders in the place of kafkajs' own for this process. kafkajs loads those files at its first produce request, so this comes
 * before it.
 * @throws when the installed kafkajs has no such file: a new version has to be looked at.
 */
export function installEncoding(): void {
  replace(RECORD, () => encodeRecord);
  replace(PRODUCE, (original) => (isOurs(original) ? original : produceRequest(original as ProduceRequestOf))); // what that file exports
}

function replace(name: string, by: (original: unknown) => unknown): void {
  const path = require.resolve(name);
  require(path);
  const loaded = require.cache[path];
  if (loaded === undefined) throw new Error(`InvariantError: ${name} was not loaded`);
  loaded.exports = by(loaded.exports);
}
