import type { AssistantPart, ToolResult, Turn, UserPart } from "../chat-request.js";
import { callsOf } from "../conversation.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { DATA_TYPES, SIGNATURE_OF_OTHERS } from "./members.js";

export function writeContents(turns: readonly Turn[], reasons: Reasons): readonly JsonObject[] {
  return turns.map((turn) => {
    switch (turn.role) {
      case "user":
        return { role: "user", parts: turn.parts.map((part) => writeUserPart(part, reasons)) };
      case "assistant":
        return { role: "model", parts: turn.parts.map((part) => writeModelPart(part, part === callsOf(turn)[0])) };
      case "tools":
        return { role: "user", parts: turn.results.map((result) => writeResult(result, reasons)) };
    }
  });
}

function writeUserPart(part: UserPart, reasons: Reasons): JsonObject {
  switch (part.kind) {
    case "text":
      return { text: part.text };
    case "data":
      if (!DATA_TYPES.has(part.mediaType)) reasons.missing(`input of type ${part.mediaType}`);
      return { inlineData: { mimeType: part.mediaType, data: part.base64 } };
    case "image_url":
      reasons.add("gemini fetches no image by its address, and neither does the gateway");
      return {};
  }
}

/** The first call of a turn carries the signature for all of them. */
function writeModelPart(part: AssistantPart, isFirstCall: boolean): JsonObject {
  if (part.kind === "text") return { text: part.text };
  return {
    functionCall: { id: part.id, name: part.name, args: part.arguments },
    thoughtSignature: isFirstCall ? SIGNATURE_OF_OTHERS : undefined,
  };
}

function writeResult(result: ToolResult, reasons: Reasons): JsonObject {
  if (result.name === null) reasons.add(`the tool result ${result.id} answers no call`);
  return {
    functionResponse: {
      id: result.id,
      name: result.name ?? undefined,
      response: result.failed ? { error: result.text } : { output: result.text },
    },
  };
}
