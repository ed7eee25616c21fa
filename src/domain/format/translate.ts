import type { RequestFormat } from "../job/job.js";
import type { ChatFormat } from "./chat-format.js";
import type { EmbeddingAnswer, EmbeddingFormat } from "./embedding.js";
import { CHAT_FORMATS, EMBEDDING_FORMATS } from "./formats.js";
import { isJsonNumber, isJsonObject, readJson, writeJson } from "./json.js";
import type { Json, JsonObject } from "./json.js";
import { Reasons } from "./reasons.js";

/**
 * The way into this folder: from one format's text to another's, by way of a canonical form. Everything that a body says is either
 * carried or named as a reason; nothing is dropped in silence. A job that goes to a provider of its own format never comes here.
 */
export type Translation =
  | { readonly kind: "carried"; readonly bodyText: string }
  /** In words, for a routing reason; at least one. */
  | { readonly kind: "not_carried"; readonly reasons: readonly string[] };

/**
 * The body of a job in format `from` as a body of format `to`. It names no model and no stream, and holds an output cap only where the
 * caller set one: the adapter puts those in, as it does for a native body. Never throws.
 */
export function translateRequest(from: RequestFormat, to: RequestFormat, bodyText: string): Translation {
  const pair = pairOf(from, to);
  if (pair === null) return noWay(from, to);
  return translated(pair.target.word, "the body", bodyText, (body, reasons) =>
    pair.family === "chat"
      ? carriedRequest(pair.source, pair.target, body, reasons)
      : carriedRequest(pair.source, pair.target, body, reasons),
  );
}

/**
 * A provider's answer in format `from` as the answer of a job in format `to`: text, tool calls, how it ended, and the tokens in that format's own
 * way of counting. Not carried is what has no place there, such as an answer that paused; its reasons are for the log. Never throws.
 * @param jobBodyText the job's own body, in format `to`: embeddings are answered in the form that it asked for.
 */
export function translateAnswer(
  from: RequestFormat,
  to: RequestFormat,
  answerText: string,
  jobBodyText: string,
): Translation {
  const pair = pairOf(from, to);
  if (pair === null) return noWay(from, to);
  return translated(pair.target.word, "the answer", answerText, (answer, reasons) => {
    if (!isJsonObject(answer)) return null;
    return pair.family === "chat"
      ? chatAnswer(pair, answer, reasons)
      : embeddingAnswer(pair, answer, jobBodyText, reasons);
  });
}

interface Pair<Family extends string, Format> {
  readonly family: Family;
  readonly source: Format;
  readonly target: Format;
}

type ChatPair = Pair<"chat", ChatFormat>;
type EmbeddingPair = Pair<"embeddings", EmbeddingFormat>;

function pairOf(from: RequestFormat, to: RequestFormat): ChatPair | EmbeddingPair | null {
  const [chatSource, chatTarget] = [CHAT_FORMATS[from], CHAT_FORMATS[to]];
  if (chatSource !== undefined && chatTarget !== undefined)
    return { family: "chat", source: chatSource, target: chatTarget };
  const [source, target] = [EMBEDDING_FORMATS[from], EMBEDDING_FORMATS[to]];
  return source === undefined || target === undefined ? null : { family: "embeddings", source, target };
}

/** The two families go the same way, each by its own canonical form. */
function carriedRequest<Canonical>(
  source: { readonly readRequest: (body: Json, reasons: Reasons) => Canonical | null },
  target: { readonly writeRequest: (request: Canonical, reasons: Reasons) => JsonObject },
  body: Json,
  reasons: Reasons,
): JsonObject | null {
  const request = source.readRequest(body, reasons);
  return request === null ? null : target.writeRequest(request, reasons);
}

function chatAnswer(pair: ChatPair, body: JsonObject, reasons: Reasons): JsonObject | null {
  const answer = pair.source.readAnswer(body, reasons);
  return answer === null ? null : pair.target.writeAnswer(answer, reasons);
}

function embeddingAnswer(
  pair: EmbeddingPair,
  body: JsonObject,
  jobBodyText: string,
  reasons: Reasons,
): JsonObject | null {
  const job = readJson(jobBodyText);
  const asked = job.kind === "read" ? pair.target.readRequest(job.value, new Reasons(pair.source.word)) : null;
  const answer = pair.source.readAnswer(body, reasons);
  if (asked === null || answer === null) return null;
  checkEmbeddings(answer, asked.inputs.length, reasons);
  return pair.target.writeAnswer(answer, asked);
}

function checkEmbeddings(answer: EmbeddingAnswer, asked: number, reasons: Reasons): void {
  const { embeddings } = answer;
  if (embeddings.length !== asked)
    reasons.add(`the answer has ${String(embeddings.length)} embeddings for ${String(asked)} inputs`);
  if (embeddings.some((one) => one.length === 0 || !one.every(isJsonNumber)))
    reasons.add("an embedding in the answer is not a list of numbers");
}

function translated(
  target: string,
  what: string,
  text: string,
  convert: (value: Json, reasons: Reasons) => JsonObject | null,
): Translation {
  const read = readJson(text);
  if (read.kind === "unreadable") return notCarried([`${what} can't be read: ${read.because}`]);
  const reasons = new Reasons(target);
  const result = convert(read.value, reasons);
  const said = reasons.list();
  if (said.length > 0) return notCarried(said);
  return result === null ? notCarried([`${what} is not an object`]) : { kind: "carried", bodyText: writeJson(result) };
}

function noWay(from: RequestFormat, to: RequestFormat): Translation {
  return notCarried([`a request in ${from} can't be carried to ${to}`]);
}

function notCarried(reasons: readonly string[]): Translation {
  return { kind: "not_carried", reasons };
}
