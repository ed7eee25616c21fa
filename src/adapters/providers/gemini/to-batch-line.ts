import type { BatchWay } from "../../../domain/batch/batch-rules.js";
import type { BatchLineRequest, EncodedLine } from "../../../ports/batch-provider.js";
import { lineBody, notCarried } from "../batch-line.js";
import type { WireFormat } from "../wire-format.js";
import { GEMINI_BATCH_RULES } from "./batch-rules.js";
import { modelPath } from "./model-path.js";

/** A line of a file is `{"key","request"}`, an inline request `{"request","metadata":{"key"}}`. Source: Gemini API batch mode guide, 2026-08. */
export function toGeminiBatchLine(wire: WireFormat, line: BatchLineRequest, way: BatchWay): EncodedLine {
  const carried = lineBody(line, wire, GEMINI_BATCH_RULES.formats);
  if (carried.kind === "not_carried") return carried;
  const { lineFormat, path, bodyText } = carried;
  if (path === modelPath(line.model, "batchEmbedContents"))
    return notCarried("a line of a gemini batch embeds one text, the job has several");
  const key = JSON.stringify(line.attemptId);
  const text =
    way === "file" ? `{"key":${key},"request":${bodyText}}` : `{"request":${bodyText},"metadata":{"key":${key}}}`;
  return {
    kind: "encoded",
    bytes: Buffer.from(text),
    lineFormat,
    embeddingInputs: lineFormat === "gemini.embed" ? 1 : 0,
  };
}
