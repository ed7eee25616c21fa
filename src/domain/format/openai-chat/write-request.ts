import type { AssistantPart, ChatRequest, OutputForm, Tool, ToolChoice, Turn, UserPart } from "../chat-request.js";
import { checkEnding, fittedIds } from "../conversation.js";
import { writeDataUrl } from "../data-url.js";
import { writeJson } from "../json.js";
import type { JsonObject } from "../json.js";
import { OPENAI_EFFORTS } from "../reasoning.js";
import type { Reasoning } from "../reasoning.js";
import type { Reasons } from "../reasons.js";
import { writeSampling } from "../sampling.js";
import {
  AUDIO_TYPES,
  CALL_ID_CHARS_MAX,
  DOCUMENT_TYPE,
  FUNCTION_NAME,
  IMAGE_TYPES,
  OPENAI_SAMPLING,
  STOP_MAX,
} from "./members.js";
import { isStrictSchema } from "./strict-schema.js";

/** The body of `POST /chat/completions`, without a model. Worth something only when it gave no reason. */
export function writeOpenaiRequest(request: ChatRequest, reasons: Reasons): JsonObject {
  checkEnding(request.turns, reasons);
  if (request.stop.length > STOP_MAX) reasons.add(`openai takes ${String(STOP_MAX)} stop sequences at most`);
  const ids = fittedIds(request.turns, (id) => id !== "" && id.length <= CALL_ID_CHARS_MAX);
  return {
    messages: [
      ...request.system.map((text) => ({ role: "system", content: text })),
      ...request.turns.flatMap((turn) => writeTurn(turn, ids, reasons)),
    ],
    tools: request.tools.length === 0 ? undefined : request.tools.map((tool) => writeTool(tool, reasons)),
    tool_choice: writeToolChoice(request.toolChoice),
    parallel_tool_calls: request.oneToolCall ? false : undefined,
    response_format: writeOutput(request.output),
    stop: request.stop.length === 0 ? undefined : request.stop,
    ...writeSampling(request.sampling, OPENAI_SAMPLING, reasons),
    n: request.choices === 1 ? undefined : request.choices,
    max_completion_tokens: request.maxOutputTokens ?? undefined,
    reasoning_effort: writeReasoning(request.reasoning, reasons),
    safety_identifier: request.endUser ?? undefined,
  };
}

function writeTurn(turn: Turn, ids: (id: string) => string, reasons: Reasons): readonly JsonObject[] {
  switch (turn.role) {
    case "user":
      return [{ role: "user", content: writeContent(turn.parts.map((part) => writePart(part, reasons))) }];
    case "assistant":
      return [writeAssistant(turn.parts, ids, reasons)];
    case "tools":
      return turn.results.map((result) => {
        if (result.failed) reasons.missing("mark for a failed tool result");
        return { role: "tool", tool_call_id: ids(result.id), content: result.text };
      });
  }
}

function writeAssistant(parts: readonly AssistantPart[], ids: (id: string) => string, reasons: Reasons): JsonObject {
  const texts = parts.filter((part) => part.kind === "text");
  const calls = parts.filter((part) => part.kind === "call");
  const firstCall = parts.findIndex((part) => part.kind === "call");
  if (firstCall !== -1 && firstCall < texts.length) reasons.missing("text after a tool call in one message");
  const content = writeContent(texts.map((part) => ({ type: "text", text: part.text })));
  if (calls.length === 0) return { role: "assistant", content };
  return {
    role: "assistant",
    content: texts.length === 0 ? null : content,
    tool_calls: calls.map((call) => ({
      id: ids(call.id),
      type: "function",
      function: { name: call.name, arguments: writeJson(call.arguments) },
    })),
  };
}

/** One text is written as such: servers of one's own often know only that. */
function writeContent(parts: readonly JsonObject[]): string | readonly JsonObject[] {
  const [first] = parts;
  if (first === undefined) return "";
  return parts.length === 1 && typeof first["text"] === "string" ? first["text"] : parts;
}

function writePart(part: UserPart, reasons: Reasons): JsonObject {
  switch (part.kind) {
    case "text":
      return { type: "text", text: part.text };
    case "image_url":
      return { type: "image_url", image_url: { url: part.url } };
    case "data":
      return writeData(part.mediaType, part.base64, reasons);
  }
}

function writeData(mediaType: string, base64: string, reasons: Reasons): JsonObject {
  const url = writeDataUrl(mediaType, base64);
  if (IMAGE_TYPES.has(mediaType)) return { type: "image_url", image_url: { url } };
  if (mediaType === DOCUMENT_TYPE) return { type: "file", file: { filename: "document.pdf", file_data: url } };
  const format = Object.entries(AUDIO_TYPES).find(([, type]) => type === mediaType)?.[0];
  if (format === undefined) reasons.missing(`input of type ${mediaType}`);
  return { type: "input_audio", input_audio: { data: base64, format } };
}

function writeTool(tool: Tool, reasons: Reasons): JsonObject {
  if (!FUNCTION_NAME.test(tool.name)) reasons.add(`openai takes no tool named ${JSON.stringify(tool.name)}`);
  return {
    type: "function",
    function: {
      name: tool.name,
      description: tool.description ?? undefined,
      parameters: tool.schema,
      strict: tool.strict ? true : undefined,
    },
  };
}

function writeToolChoice(choice: ToolChoice | null): JsonObject | string | undefined {
  if (choice === null) return undefined;
  switch (choice.kind) {
    case "none":
    case "required":
      return choice.kind;
    case "named":
      return { type: "function", function: { name: choice.name } };
    case "some": {
      const tools = choice.names.map((name) => ({ type: "function", function: { name } }));
      return { type: "allowed_tools", allowed_tools: { mode: choice.required ? "required" : "auto", tools } };
    }
  }
}

/** The name is required and says nothing. */
function writeOutput(output: OutputForm | null): JsonObject | undefined {
  if (output === null) return undefined;
  if (output.kind === "json") return { type: "json_object" };
  const strict = isStrictSchema(output.schema) ? true : undefined;
  return { type: "json_schema", json_schema: { name: "answer", schema: output.schema, strict } };
}

function writeReasoning(reasoning: Reasoning | null, reasons: Reasons): string | undefined {
  if (reasoning === null) return undefined;
  if (reasoning.kind === "off") return "none";
  if (reasoning.kind === "effort") return OPENAI_EFFORTS[reasoning.effort];
  reasons.missing(reasoning.kind === "auto" ? "adaptive thinking" : "token budget for thinking");
  return undefined;
}
