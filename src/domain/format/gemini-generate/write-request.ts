import type { ChatRequest, OutputForm, Tool, ToolChoice } from "../chat-request.js";
import { checkEnding, checkFilled } from "../conversation.js";
import type { JsonObject } from "../json.js";
import { GEMINI_EFFORTS } from "../reasoning.js";
import type { Reasoning } from "../reasoning.js";
import type { Reasons } from "../reasons.js";
import { writeSampling } from "../sampling.js";
import { CANDIDATES_MAX, FUNCTION_NAME, GEMINI_SAMPLING, STOP_MAX } from "./members.js";
import { writeContents } from "./write-contents.js";

/** The body of `POST /models/{model}:generateContent`. Worth something only when it gave no reason. */
export function writeGeminiRequest(request: ChatRequest, reasons: Reasons): JsonObject {
  checkRequest(request, reasons);
  const config = writeGeneration(request, reasons);
  const hasConfig = Object.values(config).some((value) => value !== undefined);
  const declarations = request.tools.map((tool) => writeTool(tool, reasons));
  return {
    systemInstruction: request.system.length === 0 ? undefined : { parts: request.system.map((text) => ({ text })) },
    contents: writeContents(request.turns, reasons),
    tools: declarations.length === 0 ? undefined : [{ functionDeclarations: declarations }],
    toolConfig: writeToolConfig(request.toolChoice),
    generationConfig: hasConfig ? config : undefined,
  };
}

function checkRequest(request: ChatRequest, reasons: Reasons): void {
  checkEnding(request.turns, reasons);
  checkFilled(request.turns, reasons);
  if (request.stop.length > STOP_MAX) reasons.add(`gemini takes ${String(STOP_MAX)} stop sequences at most`);
  if (request.choices > CANDIDATES_MAX) reasons.add(`gemini gives ${String(CANDIDATES_MAX)} answers at most`);
  if (request.oneToolCall) reasons.missing("way to forbid parallel tool calls");
  if (request.endUser !== null) reasons.missing("name of the end user (user, safety_identifier)");
}

function writeGeneration(request: ChatRequest, reasons: Reasons): JsonObject {
  return {
    ...writeOutput(request.output),
    stopSequences: request.stop.length === 0 ? undefined : request.stop,
    ...writeSampling(request.sampling, GEMINI_SAMPLING, reasons),
    candidateCount: request.choices === 1 ? undefined : request.choices,
    maxOutputTokens: request.maxOutputTokens ?? undefined,
    thinkingConfig: writeThinking(request.reasoning, reasons),
  };
}

function writeOutput(output: OutputForm | null): JsonObject {
  if (output === null) return {};
  const responseMimeType = "application/json";
  return output.kind === "json" ? { responseMimeType } : { responseMimeType, responseJsonSchema: output.schema };
}

function writeThinking(reasoning: Reasoning | null, reasons: Reasons): JsonObject | undefined {
  if (reasoning === null) return undefined;
  switch (reasoning.kind) {
    case "off":
      return { thinkingBudget: 0 };
    case "auto":
      return { thinkingBudget: -1 };
    case "budget":
      return { thinkingBudget: reasoning.tokens };
    case "effort": {
      const level = GEMINI_EFFORTS[reasoning.effort];
      if (level === undefined) reasons.missing(`reasoning effort ${reasoning.effort}`);
      return { thinkingLevel: level };
    }
  }
}

function writeTool(tool: Tool, reasons: Reasons): JsonObject {
  if (!FUNCTION_NAME.test(tool.name)) reasons.add(`gemini takes no function named ${JSON.stringify(tool.name)}`);
  if (tool.strict) reasons.missing("strict tools");
  return { name: tool.name, description: tool.description ?? undefined, parametersJsonSchema: tool.schema };
}

function writeToolConfig(choice: ToolChoice | null): JsonObject | undefined {
  return choice === null ? undefined : { functionCallingConfig: writeChoice(choice) };
}

function writeChoice(choice: ToolChoice): JsonObject {
  switch (choice.kind) {
    case "none":
      return { mode: "NONE" };
    case "required":
      return { mode: "ANY" };
    case "named":
      return { mode: "ANY", allowedFunctionNames: [choice.name] };
    case "some":
      return { mode: choice.required ? "ANY" : "VALIDATED", allowedFunctionNames: choice.names };
  }
}
