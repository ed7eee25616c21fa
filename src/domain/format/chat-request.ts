import type { JsonObject } from "./json.js";
import type { Reasoning } from "./reasoning.js";
import type { Sampling } from "./sampling.js";

/**
 * What a chat request means, whatever its format. Two bodies that ask for the same have the same canonical form: defaults are absent, turns
 * of one speaker are one turn, system texts stand first. Only what at least two formats can say has a place here; a reader names the rest as
 * reasons.
 */
export interface ChatRequest {
  /** In order; formats that take them in the middle of a conversation have them moved to its start. */
  readonly system: readonly string[];
  readonly turns: readonly Turn[];
  readonly tools: readonly Tool[];
  /** Null: the model decides. */
  readonly toolChoice: ToolChoice | null;
  /** At most one tool call an answer; otherwise several may come. */
  readonly oneToolCall: boolean;
  /** Null: plain text. */
  readonly output: OutputForm | null;
  readonly stop: readonly string[];
  readonly sampling: Sampling;
  /** How many answers to one prompt. */
  readonly choices: number;
  /** Reasoning included; null: the adapter sets the account's default. */
  readonly maxOutputTokens: number | null;
  /** Null: the model's own default. */
  readonly reasoning: Reasoning | null;
  /** The caller's opaque name of its end user, for the provider's abuse detection. */
  readonly endUser: string | null;
}

export type Turn =
  | { readonly role: "user"; readonly parts: readonly UserPart[] }
  | { readonly role: "assistant"; readonly parts: readonly AssistantPart[] }
  | { readonly role: "tools"; readonly results: readonly ToolResult[] };

export type UserPart =
  | TextPart
  /** A picture, document or recording inside the body. */
  | { readonly kind: "data"; readonly mediaType: string; readonly base64: string }
  /** A picture that the provider fetches; the gateway fetches none. */
  | { readonly kind: "image_url"; readonly url: string };

export type AssistantPart = TextPart | ToolCall;

/** Never empty. */
export interface TextPart {
  readonly kind: "text";
  readonly text: string;
}

export interface ToolCall {
  readonly kind: "call";
  /** Links a call with its result; says nothing else. */
  readonly id: string;
  readonly name: string;
  readonly arguments: JsonObject;
}

export interface ToolResult {
  readonly id: string;
  /** The tool's name, from the call it answers; null when there is no such call. */
  readonly name: string | null;
  readonly text: string;
  readonly failed: boolean;
}

export interface Tool {
  readonly name: string;
  readonly description: string | null;
  /** JSON schema of the arguments, always of type object. */
  readonly schema: JsonObject;
  /** Arguments must keep to the schema. */
  readonly strict: boolean;
}

export type ToolChoice =
  | { readonly kind: "none" }
  | { readonly kind: "required" }
  | { readonly kind: "named"; readonly name: string }
  /** Only these tools may be called, and one of them must be when `required`. */
  | { readonly kind: "some"; readonly names: readonly string[]; readonly required: boolean };

export type OutputForm = { readonly kind: "json" } | { readonly kind: "json_schema"; readonly schema: JsonObject };
