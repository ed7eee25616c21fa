import type { BatchLineRequest, EncodedLine } from "../../../ports/batch-provider.js";
import { lineBody } from "../batch-line.js";
import type { WireFormat } from "../wire-format.js";
import { ANTHROPIC_BATCH_RULES } from "./batch-rules.js";

/** An element of `requests`: `{"custom_id","params"}`. */
export function toAnthropicBatchLine(wire: WireFormat, line: BatchLineRequest): EncodedLine {
  const carried = lineBody(line, wire, ANTHROPIC_BATCH_RULES.formats);
  if (carried.kind === "not_carried") return carried;
  const text = `{"custom_id":${JSON.stringify(line.attemptId)},"params":${carried.bodyText}}`;
  return { kind: "encoded", bytes: Buffer.from(text), lineFormat: carried.lineFormat, embeddingInputs: 0 };
}
