import type { ChatRequest, OutputForm, Tool, ToolChoice } from "../chat-request.js";
import type { Json } from "../json.js";
import { readEach, readMembers } from "../members.js";
import type { Members } from "../members.js";
import type { Reasons } from "../reasons.js";
import { readSampling } from "../sampling.js";
import { argumentsSchema } from "../schema.js";
import { ANTHROPIC_SAMPLING, OPERATIONAL } from "./members.js";
import { readConversation } from "./read-messages.js";
import { readReasoning } from "./reasoning.js";

/** The body of `POST /v1/messages`. Null when it is no object; whatever else has no counterpart in the target is a reason. */
export function readAnthropicRequest(body: Json, reasons: Reasons): ChatRequest | null {
  return readMembers(body, "", reasons, readBody);
}

interface OutputConfig {
  readonly effort: string | null;
  readonly output: OutputForm | null;
}

function readBody(members: Members): ChatRequest {
  members.ignore(OPERATIONAL);
  members.ignoreWhen("service_tier", ["auto", "standard_only"]);
  members.ignoreWhen("speed", ["standard"]);
  const config = readOutputConfig(members);
  const { toolChoice, oneToolCall } = readToolChoice(members);
  return {
    ...readConversation(members),
    tools: readTools(members),
    toolChoice,
    oneToolCall,
    output: config.output,
    stop: members.texts("stop_sequences"),
    sampling: readSampling(members, ANTHROPIC_SAMPLING),
    choices: 1,
    maxOutputTokens: readCap(members),
    reasoning: readReasoning(members, config.effort),
    endUser: readEndUser(members),
  };
}

/** A cap of 0 only fills the cache. */
function readCap(members: Members): number | null {
  const cap = members.number("max_tokens");
  if (cap === 0) members.reasons.missing("requests without an answer (max_tokens 0)");
  return cap;
}

function readEndUser(members: Members): string | null {
  const metadata = members.take("metadata");
  if (metadata === undefined) return null;
  return readMembers(metadata, "metadata", members.reasons, (inner) => inner.text("user_id"));
}

function readOutputConfig(members: Members): OutputConfig {
  const none = { effort: null, output: null };
  const config = members.take("output_config");
  if (config === undefined) return none;
  return (
    readMembers(config, "output_config", members.reasons, (inner) => ({
      effort: inner.text("effort"),
      output: readFormat(inner),
    })) ?? none
  );
}

function readFormat(config: Members): OutputForm | null {
  const format = config.take("format");
  if (format === undefined) return null;
  return readMembers(format, config.where("format"), config.reasons, (inner) => {
    inner.ignoreWhen("type", ["json_schema"]);
    return { kind: "json_schema", schema: inner.object("schema") ?? {} };
  });
}

function readTools(members: Members): readonly Tool[] {
  return readEach(members.list("tools"), "tools", members.reasons, (tool) => {
    const type = tool.text("type") ?? "custom";
    if (type !== "custom") return notOurs(tool, `tools of type ${type}`);
    // How arguments are sent while they are written makes no difference to an answer that comes whole.
    tool.ignore(["cache_control", "eager_input_streaming"]);
    tool.ignoreWhen("defer_loading", [false]);
    return {
      name: tool.text("name") ?? "",
      description: tool.text("description"),
      schema: argumentsSchema(tool.object("input_schema")),
      strict: tool.flag("strict") ?? false,
    };
  });
}

interface Choice {
  readonly toolChoice: ToolChoice | null;
  readonly oneToolCall: boolean;
}

function readToolChoice(members: Members): Choice {
  const none = { toolChoice: null, oneToolCall: false };
  const choice = members.take("tool_choice");
  if (choice === undefined) return none;
  return (
    readMembers(choice, "tool_choice", members.reasons, (inner) => ({
      toolChoice: readChoice(inner),
      oneToolCall: inner.flag("disable_parallel_tool_use") ?? false,
    })) ?? none
  );
}

function readChoice(choice: Members): ToolChoice | null {
  const type = choice.word("type");
  switch (type) {
    case "auto":
      return null;
    case "none":
      return { kind: "none" };
    case "any":
      return { kind: "required" };
    case "tool":
      return { kind: "named", name: choice.text("name") ?? "" };
    default:
      return notOurs(choice, `tool_choice ${type}`);
  }
}

function notOurs(members: Members, what: string): null {
  members.reasons.missing(what);
  return null;
}
