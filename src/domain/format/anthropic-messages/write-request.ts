import type { ChatRequest, OutputForm, Tool, ToolChoice } from "../chat-request.js";
import { checkEnding, checkFilled } from "../conversation.js";
import type { JsonObject } from "../json.js";
import type { Reasons } from "../reasons.js";
import { writeSampling } from "../sampling.js";
import { ANTHROPIC_SAMPLING, TOOL_NAME } from "./members.js";
import { writeReasoning } from "./reasoning.js";
import { closedSchema } from "./closed-schema.js";
import { writeMessages } from "./write-messages.js";

/** The body of `POST /v1/messages`, without a model. Worth something only when it gave no reason. */
export function writeAnthropicRequest(request: ChatRequest, reasons: Reasons): JsonObject {
  checkRequest(request, reasons);
  const { thinking, effort } = writeReasoning(request.reasoning, reasons);
  const format = writeFormat(request.output, reasons);
  const hasConfig = effort !== undefined || format !== undefined;
  return {
    max_tokens: request.maxOutputTokens ?? undefined,
    system: writeSystem(request.system),
    messages: writeMessages(request.turns, reasons),
    tools: request.tools.length === 0 ? undefined : request.tools.map((tool) => writeTool(tool, reasons)),
    tool_choice: writeToolChoice(request, reasons),
    output_config: hasConfig ? { effort, format } : undefined,
    thinking,
    stop_sequences: request.stop.length === 0 ? undefined : request.stop,
    ...writeSampling(request.sampling, ANTHROPIC_SAMPLING, reasons),
    metadata: request.endUser === null ? undefined : { user_id: request.endUser },
  };
}

function checkRequest(request: ChatRequest, reasons: Reasons): void {
  checkEnding(request.turns, reasons);
  checkFilled(request.turns, reasons);
  checkThinking(request, reasons);
  if (request.choices !== 1) reasons.missing("place for several answers to one request (n)");
  if (request.stop.some(isBlank)) reasons.add("anthropic takes no stop sequence of only white space");
  if (request.system.some(isBlank)) reasons.add("anthropic takes no text of only white space");
}

/** Source: Anthropic guide on extended thinking, feature compatibility, 2026-09. */
function checkThinking(request: ChatRequest, reasons: Reasons): void {
  if (request.reasoning === null || request.reasoning.kind === "off") return;
  const { temperature, topK } = request.sampling;
  if ((temperature ?? 1) !== 1 || topK !== null) reasons.add("anthropic takes no temperature or top_k while it thinks");
  if (request.toolChoice?.kind === "required" || request.toolChoice?.kind === "named")
    reasons.add("anthropic forces no tool call while it thinks");
}

function isBlank(text: string): boolean {
  return !/\S/.test(text);
}

function writeSystem(texts: readonly string[]): JsonObject[] | string | undefined {
  const [first] = texts;
  return texts.length <= 1 ? first : texts.map((text) => ({ type: "text", text }));
}

function writeTool(tool: Tool, reasons: Reasons): JsonObject {
  if (!TOOL_NAME.test(tool.name)) reasons.add(`anthropic takes no tool named ${JSON.stringify(tool.name)}`);
  return {
    name: tool.name,
    description: tool.description ?? undefined,
    input_schema: tool.strict ? closedSchema(tool.schema, reasons) : tool.schema,
    strict: tool.strict ? true : undefined,
  };
}

function writeToolChoice(request: ChatRequest, reasons: Reasons): JsonObject | undefined {
  const single = request.oneToolCall ? true : undefined;
  const { toolChoice } = request;
  if (toolChoice === null) return request.oneToolCall ? { type: "auto", disable_parallel_tool_use: true } : undefined;
  return { ...writeChoice(toolChoice, reasons), disable_parallel_tool_use: single };
}

function writeChoice(choice: ToolChoice, reasons: Reasons): JsonObject {
  switch (choice.kind) {
    case "none":
      return { type: "none" };
    case "required":
      return { type: "any" };
    case "named":
      return { type: "tool", name: choice.name };
    case "some":
      reasons.missing("choice among some of the tools");
      return { type: "auto" };
  }
}

function writeFormat(output: OutputForm | null, reasons: Reasons): JsonObject | undefined {
  if (output === null) return undefined;
  if (output.kind === "json_schema") return { type: "json_schema", schema: closedSchema(output.schema, reasons) };
  reasons.missing("JSON output without a schema");
  return undefined;
}
