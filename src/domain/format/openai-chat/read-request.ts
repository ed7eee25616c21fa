import type { ChatRequest, OutputForm } from "../chat-request.js";
import type { Json } from "../json.js";
import { readMembers } from "../members.js";
import type { Members } from "../members.js";
import { effortOf, OPENAI_EFFORTS } from "../reasoning.js";
import type { Reasoning } from "../reasoning.js";
import type { Reasons } from "../reasons.js";
import { readSampling } from "../sampling.js";
import { OPENAI_SAMPLING, OPERATIONAL } from "./members.js";
import { readMessages } from "./read-messages.js";
import { readToolChoice, readTools } from "./read-tools.js";

/** The body of `POST /chat/completions`. Null when it is no object; whatever else has no counterpart in the target is a reason. */
export function readOpenaiRequest(body: Json, reasons: Reasons): ChatRequest | null {
  return readMembers(body, "", reasons, readBody);
}

function readBody(members: Members): ChatRequest {
  ignoreOperational(members);
  const { system, turns } = readMessages(members.list("messages"), members.reasons);
  const toolChoice = readToolChoice(members);
  const mayCallMany = members.flag("parallel_tool_calls") ?? true;
  return {
    system,
    turns,
    tools: readTools(members),
    toolChoice,
    oneToolCall: !mayCallMany && toolChoice?.kind !== "none",
    output: readOutput(members),
    stop: readStop(members),
    sampling: readSampling(members, OPENAI_SAMPLING),
    choices: members.number("n") ?? 1,
    maxOutputTokens: readCap(members),
    reasoning: readReasoning(members),
    endUser: readEndUser(members),
  };
}

function ignoreOperational(members: Members): void {
  members.ignore(OPERATIONAL);
  members.ignoreWhen("store", [false]);
  members.ignoreWhen("service_tier", ["auto", "default"]);
  members.ignoreWhen("logprobs", [false]);
  for (const modality of members.list("modalities"))
    if (modality !== "text") members.reasons.missing("answers other than text (modalities)");
}

/** `max_tokens` is the older name of the same cap. */
function readCap(members: Members): number | null {
  const cap = members.number("max_completion_tokens");
  const older = members.number("max_tokens");
  if (cap !== null && older !== null && cap !== older)
    members.reasons.add("max_tokens and max_completion_tokens differ");
  return cap ?? older;
}

/** `user` is the older name of `safety_identifier`. */
function readEndUser(members: Members): string | null {
  const identifier = members.text("safety_identifier");
  const older = members.text("user");
  if (identifier !== null && older !== null && identifier !== older)
    members.reasons.add("user and safety_identifier differ");
  return identifier ?? older;
}

function readStop(members: Members): readonly string[] {
  const value = members.take("stop");
  if (typeof value === "string") return [value];
  return readMembers({ stop: value }, "", members.reasons, (one) => one.texts("stop")) ?? [];
}

function readReasoning(members: Members): Reasoning | null {
  const word = members.text("reasoning_effort");
  if (word === null) return null;
  if (word === "none") return { kind: "off" };
  const effort = effortOf(OPENAI_EFFORTS, word);
  if (effort !== null) return { kind: "effort", effort };
  members.reasons.missing(`reasoning_effort ${word}`);
  return null;
}

function readOutput(members: Members): OutputForm | null {
  const format = members.take("response_format");
  if (format === undefined) return null;
  return readMembers(format, "response_format", members.reasons, (inner) => {
    const type = inner.word("type");
    if (type === "json_object") return { kind: "json" };
    if (type === "json_schema") return readSchema(inner);
    if (type !== "text") inner.reasons.missing(`response_format ${type}`);
    return null;
  });
}

/** The name is a label. The description moves into the schema; `strict` is set again wherever the schema allows it. */
function readSchema(members: Members): OutputForm | null {
  return readMembers(members.take("json_schema"), members.where("json_schema"), members.reasons, (inner) => {
    inner.ignore(["name", "strict"]);
    const description = inner.text("description");
    const schema = inner.object("schema") ?? {};
    if (description !== null && "description" in schema) inner.reasons.missing(inner.where("description"));
    return { kind: "json_schema", schema: description === null ? schema : { description, ...schema } };
  });
}
