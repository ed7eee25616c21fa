/**
 * The messages of the Gemini API's requests.
 * Source: the API reference at ai.google.dev (v1beta, read 2026-11-26) and the types of the official SDK 2.32.
 */
import {
  anyValue,
  bool,
  bytes,
  enumOf,
  float,
  inGroup,
  int32,
  int64,
  listOf,
  mapOf,
  messageOf,
  protoMessage,
  string,
  struct,
} from "./proto-message.js";
import type { ProtoField, ProtoMessage } from "./proto-message.js";

const SCHEMA: ProtoMessage = protoMessage({
  type: enumOf("Type", "TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"),
  format: string,
  title: string,
  description: string,
  nullable: bool,
  enum: listOf(string),
  maxItems: int64,
  minItems: int64,
  properties: mapOf(messageOf("Schema", () => SCHEMA)),
  required: listOf(string),
  minProperties: int64,
  maxProperties: int64,
  minLength: int64,
  maxLength: int64,
  pattern: string,
  example: anyValue,
  anyOf: listOf(messageOf("Schema", () => SCHEMA)),
  propertyOrdering: listOf(string),
  default: anyValue,
  items: messageOf("Schema", () => SCHEMA),
  minimum: float,
  maximum: float,
});
const schema = messageOf("Schema", () => SCHEMA);

function one(type: string, fields: Readonly<Record<string, ProtoField>>): ProtoField {
  const message = protoMessage(fields);
  return messageOf(type, () => message);
}

const data = (member: ProtoField): ProtoField => inGroup("data", member);

const CONTENT_FIELDS = {
  role: string,
  parts: listOf(
    one("Part", {
      text: data(string),
      inlineData: data(one("Blob", { mimeType: string, data: bytes, displayName: string })),
      fileData: data(one("FileData", { mimeType: string, fileUri: string, displayName: string })),
      functionCall: data(one("FunctionCall", { id: string, name: string, args: struct })),
      functionResponse: data(
        one("FunctionResponse", {
          id: string,
          name: string,
          response: struct,
          parts: listOf(struct),
          willContinue: bool,
          scheduling: enumOf("Scheduling", "SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT"),
        }),
      ),
      executableCode: data(struct),
      codeExecutionResult: data(struct),
      thought: bool,
      thoughtSignature: bytes,
      partMetadata: struct,
      videoMetadata: struct,
      mediaResolution: struct,
    }),
  ),
};
const content = one("Content", CONTENT_FIELDS);

const TOOL_FIELDS = {
  functionDeclarations: listOf(
    one("FunctionDeclaration", {
      name: string,
      description: string,
      behavior: enumOf("Behavior", "UNSPECIFIED", "BLOCKING", "NON_BLOCKING"),
      parameters: schema,
      parametersJsonSchema: anyValue,
      response: schema,
      responseJsonSchema: anyValue,
    }),
  ),
  googleSearchRetrieval: struct,
  codeExecution: struct,
  googleSearch: struct,
  googleMaps: struct,
  computerUse: struct,
  urlContext: struct,
  fileSearch: struct,
  mcpServers: listOf(struct),
};

const TOOL_CONFIG = one("ToolConfig", {
  functionCallingConfig: one("FunctionCallingConfig", {
    mode: enumOf("Mode", "MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"),
    allowedFunctionNames: listOf(string),
  }),
  retrievalConfig: struct,
  includeServerSideToolInvocations: bool,
});

const SAFETY_SETTING = one("SafetySetting", {
  category: enumOf(
    "HarmCategory",
    "HARM_CATEGORY_UNSPECIFIED",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
  ),
  threshold: enumOf(
    "HarmBlockThreshold",
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
  ),
});

const MEDIA_RESOLUTION = enumOf(
  "MediaResolution",
  "MEDIA_RESOLUTION_UNSPECIFIED",
  "MEDIA_RESOLUTION_LOW",
  "MEDIA_RESOLUTION_MEDIUM",
  "MEDIA_RESOLUTION_HIGH",
);

const GENERATION_CONFIG = one("GenerationConfig", {
  temperature: float,
  topP: float,
  topK: int32,
  candidateCount: int32,
  maxOutputTokens: int32,
  stopSequences: listOf(string),
  responseMimeType: string,
  responseSchema: schema,
  responseJsonSchema: anyValue,
  presencePenalty: float,
  frequencyPenalty: float,
  seed: int32,
  responseLogprobs: bool,
  logprobs: int32,
  responseModalities: listOf(enumOf("Modality", "MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO")),
  mediaResolution: MEDIA_RESOLUTION,
  thinkingConfig: one("ThinkingConfig", {
    includeThoughts: bool,
    thinkingBudget: int32,
    thinkingLevel: enumOf("ThinkingLevel", "THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"),
  }),
  speechConfig: struct,
  imageConfig: struct,
  audioTranscriptionConfig: struct,
  enableEnhancedCivicAnswers: bool,
});

const GENERATE_FIELDS = {
  model: string,
  contents: listOf(content),
  systemInstruction: content,
  generationConfig: GENERATION_CONFIG,
  tools: listOf(one("Tool", TOOL_FIELDS)),
  toolConfig: TOOL_CONFIG,
  safetySettings: listOf(SAFETY_SETTING),
  cachedContent: string,
  serviceTier: enumOf("ServiceTier", "UNSPECIFIED", "STANDARD", "FLEX", "PRIORITY"),
  store: bool,
};
const generateRequest = one("GenerateContentRequest", GENERATE_FIELDS);

const EMBED_FIELDS = {
  model: string,
  content,
  taskType: enumOf(
    "TaskType",
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
  ),
  title: string,
  outputDimensionality: int32,
};
const embedRequest = one("EmbedContentRequest", EMBED_FIELDS);

/** What a batch of either kind of request is created from. */
function batchRequest(kind: "GenerateContent" | "EmbedContent", request: ProtoField): ProtoMessage {
  const inlined = one("InlinedRequest", { request, metadata: struct });
  return protoMessage({
    batch: one(`${kind}Batch`, {
      model: string,
      name: string,
      displayName: string,
      inputConfig: one("InputConfig", {
        fileName: inGroup("source", string),
        requests: inGroup("source", one("InlinedRequests", { requests: listOf(inlined) })),
      }),
      priority: int64,
      webhookConfig: struct,
    }),
  });
}

export const GENERATE_REQUEST: ProtoMessage = protoMessage(GENERATE_FIELDS);

export const COUNT_TOKENS_REQUEST: ProtoMessage = protoMessage({
  model: string,
  contents: listOf(content),
  generateContentRequest: generateRequest,
});

export const EMBED_REQUEST: ProtoMessage = protoMessage(EMBED_FIELDS);

export const BATCH_EMBED_REQUEST: ProtoMessage = protoMessage({ model: string, requests: listOf(embedRequest) });

export const GENERATE_BATCH_REQUEST: ProtoMessage = batchRequest("GenerateContent", generateRequest);

export const EMBED_BATCH_REQUEST: ProtoMessage = batchRequest("EmbedContent", embedRequest);

/** A line of a batch's input file. */
export const GENERATE_LINE: ProtoMessage = protoMessage({ key: string, request: generateRequest, metadata: struct });

export const EMBED_LINE: ProtoMessage = protoMessage({ key: string, request: embedRequest, metadata: struct });

/** What starts an upload. */
export const FILE_REQUEST: ProtoMessage = protoMessage({
  file: one("File", { name: string, displayName: string, mimeType: string, sizeBytes: int64 }),
});
