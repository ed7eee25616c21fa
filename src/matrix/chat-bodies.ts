import type { RequestFormat } from "../domain/job/job.js";

/** The same requests in each format, written by hand: what a caller of that provider would send. */

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const FILM_SCHEMA = {
  type: "object",
  properties: { title: { type: "string" }, year: { type: "integer" } },
  required: ["title", "year"],
  additionalProperties: false,
} as const;

export type ChatFormat = "openai.chat" | "anthropic.messages" | "gemini.generate";
export type ChatCase =
  "text" | "system" | "turns" | "image" | "tool" | "toolResult" | "json" | "stop" | "length" | "sampling" | "large";

/** What the prompt of each case says, in order. */
export const PROMPT_TEXTS = {
  text: ["What is the style of this film?"],
  system: ["Answer in one sentence.", "What is the style of this film?"],
  turns: ["Which film?", "The one about the harbour.", "Who made it?"],
  image: ["What is in this picture?"],
} as const satisfies Partial<Record<ChatCase, readonly string[]>>;

/** Longer than any account of the matrix takes as an answer's maximum. */
const LARGE_TEXT = "word ".repeat(3_000);

type Body = Readonly<Record<string, unknown>>;
const user = (content: unknown): Body => ({ role: "user", content });

const OPENAI: Readonly<Record<ChatCase, (model: string) => Body>> = {
  text: (model) => ({ model, messages: [user(PROMPT_TEXTS.text[0])] }),
  system: (model) => ({
    model,
    messages: [{ role: "system", content: PROMPT_TEXTS.system[0] }, user(PROMPT_TEXTS.system[1])],
  }),
  turns: (model) => ({
    model,
    messages: [
      user(PROMPT_TEXTS.turns[0]),
      { role: "assistant", content: PROMPT_TEXTS.turns[1] },
      user(PROMPT_TEXTS.turns[2]),
    ],
  }),
  image: (model) => ({
    model,
    messages: [
      user([
        { type: "text", text: PROMPT_TEXTS.image[0] },
        { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } },
      ]),
    ],
  }),
  tool: (model) => ({
    model,
    messages: [user("Find it.")],
    tools: [
      { type: "function", function: { name: "find_film", description: "Finds a film", parameters: FILM_SCHEMA } },
    ],
    tool_choice: { type: "function", function: { name: "find_film" } },
  }),
  toolResult: (model) => ({
    model,
    messages: [
      user("Find it."),
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "call_1",
            type: "function",
            function: { name: "find_film", arguments: '{"title":"Tide","year":1999}' },
          },
        ],
      },
      { role: "tool", tool_call_id: "call_1", content: '{"found":true}' },
    ],
    tools: [{ type: "function", function: { name: "find_film", parameters: FILM_SCHEMA } }],
  }),
  json: (model) => ({
    model,
    messages: [user("Describe it.")],
    response_format: { type: "json_schema", json_schema: { name: "film", strict: true, schema: FILM_SCHEMA } },
  }),
  stop: (model) => ({ model, messages: [user("Begin.")], stop: ["body="] }),
  length: (model) => ({ model, messages: [user("Begin.")], max_completion_tokens: 2 }),
  sampling: (model) => ({ model, messages: [user("Begin.")], temperature: 0.5, top_p: 0.9 }),
  large: (model) => ({ model, messages: [user(LARGE_TEXT)] }),
};

const ANTHROPIC: Readonly<Record<ChatCase, (model: string) => Body>> = {
  text: (model) => ({ model, max_tokens: 200, messages: [user(PROMPT_TEXTS.text[0])] }),
  system: (model) => ({
    model,
    max_tokens: 200,
    system: PROMPT_TEXTS.system[0],
    messages: [user(PROMPT_TEXTS.system[1])],
  }),
  turns: (model) => ({
    model,
    max_tokens: 200,
    messages: [
      user(PROMPT_TEXTS.turns[0]),
      { role: "assistant", content: PROMPT_TEXTS.turns[1] },
      user(PROMPT_TEXTS.turns[2]),
    ],
  }),
  image: (model) => ({
    model,
    max_tokens: 200,
    messages: [
      user([
        { type: "text", text: PROMPT_TEXTS.image[0] },
        { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
      ]),
    ],
  }),
  tool: (model) => ({
    model,
    max_tokens: 200,
    messages: [user("Find it.")],
    tools: [{ name: "find_film", description: "Finds a film", input_schema: FILM_SCHEMA }],
    tool_choice: { type: "tool", name: "find_film" },
  }),
  toolResult: (model) => ({
    model,
    max_tokens: 200,
    messages: [
      user("Find it."),
      {
        role: "assistant",
        content: [{ type: "tool_use", id: "call_1", name: "find_film", input: { title: "Tide", year: 1999 } }],
      },
      user([{ type: "tool_result", tool_use_id: "call_1", content: '{"found":true}' }]),
    ],
    tools: [{ name: "find_film", input_schema: FILM_SCHEMA }],
  }),
  json: (model) => ({
    model,
    max_tokens: 200,
    messages: [user("Describe it.")],
    output_config: { format: { type: "json_schema", schema: FILM_SCHEMA } },
  }),
  stop: (model) => ({ model, max_tokens: 200, messages: [user("Begin.")], stop_sequences: ["body="] }),
  length: (model) => ({ model, max_tokens: 2, messages: [user("Begin.")] }),
  sampling: (model) => ({ model, max_tokens: 200, messages: [user("Begin.")], temperature: 0.5 }),
  large: (model) => ({ model, max_tokens: 200, messages: [user(LARGE_TEXT)] }),
};

const parts = (role: "user" | "model", ...given: readonly unknown[]): Body => ({ role, parts: given });

const GEMINI: Readonly<Record<ChatCase, (model: string) => Body>> = {
  text: (model) => ({ model, contents: [parts("user", { text: PROMPT_TEXTS.text[0] })] }),
  system: (model) => ({
    model,
    systemInstruction: { parts: [{ text: PROMPT_TEXTS.system[0] }] },
    contents: [parts("user", { text: PROMPT_TEXTS.system[1] })],
  }),
  turns: (model) => ({
    model,
    contents: [
      parts("user", { text: PROMPT_TEXTS.turns[0] }),
      parts("model", { text: PROMPT_TEXTS.turns[1] }),
      parts("user", { text: PROMPT_TEXTS.turns[2] }),
    ],
  }),
  image: (model) => ({
    model,
    contents: [parts("user", { text: PROMPT_TEXTS.image[0] }, { inlineData: { mimeType: "image/png", data: PIXEL } })],
  }),
  tool: (model) => ({
    model,
    contents: [parts("user", { text: "Find it." })],
    tools: [
      {
        functionDeclarations: [{ name: "find_film", description: "Finds a film", parametersJsonSchema: FILM_SCHEMA }],
      },
    ],
    toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["find_film"] } },
  }),
  toolResult: (model) => ({
    model,
    contents: [
      parts("user", { text: "Find it." }),
      parts("model", { functionCall: { name: "find_film", args: { title: "Tide", year: 1999 } } }),
      parts("user", { functionResponse: { name: "find_film", response: { found: true } } }),
    ],
    tools: [{ functionDeclarations: [{ name: "find_film", parametersJsonSchema: FILM_SCHEMA }] }],
  }),
  json: (model) => ({
    model,
    contents: [parts("user", { text: "Describe it." })],
    generationConfig: { responseMimeType: "application/json", responseJsonSchema: FILM_SCHEMA },
  }),
  stop: (model) => ({
    model,
    contents: [parts("user", { text: "Begin." })],
    generationConfig: { stopSequences: ["body="] },
  }),
  length: (model) => ({
    model,
    contents: [parts("user", { text: "Begin." })],
    generationConfig: { maxOutputTokens: 2 },
  }),
  sampling: (model) => ({
    model,
    contents: [parts("user", { text: "Begin." })],
    generationConfig: { temperature: 0.5, topP: 0.9 },
  }),
  large: (model) => ({ model, contents: [parts("user", { text: LARGE_TEXT })] }),
};

const BODIES: Readonly<Record<ChatFormat, Readonly<Record<ChatCase, (model: string) => Body>>>> = {
  "openai.chat": OPENAI,
  "anthropic.messages": ANTHROPIC,
  "gemini.generate": GEMINI,
};

export function chatBody(format: RequestFormat, chatCase: ChatCase, model: string): unknown {
  if (!(format in BODIES)) throw new RangeError(`${format} is no format of chats`);
  return BODIES[format as ChatFormat][chatCase](model); // checked above
}

/** Two texts to embed, except where a call takes one. */
export function embeddingBody(format: RequestFormat, model: string): unknown {
  return format === "openai.embeddings"
    ? { model, input: ["one film", "another film"], dimensions: 8 }
    : { model, content: { parts: [{ text: "one film" }] }, outputDimensionality: 8 };
}
