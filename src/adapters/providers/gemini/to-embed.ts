import { arrayItems, topLevelMembers } from "../../../domain/route/top-level-members.js";
import { editedBody } from "../edited-body.js";
import { at, type CallBody, type WireRequest } from "../wire-format.js";
import { modelPath } from "./model-path.js";

const DROPPED: ReadonlySet<string> = new Set(["stream"]);
const NONE: ReadonlySet<string> = new Set();

/**
 * `POST /models/{model}:embedContent`, or `:batchEmbedContents` for a body of several `requests`, each of which has to name the model
 * again. Null when the body, or one of its requests, is no JSON object.
 */
export function toEmbed(call: CallBody): WireRequest | null {
  const { bodyText, model } = call;
  const requests = topLevelMembers(bodyText)?.find(({ name }) => name === "requests");
  if (requests === undefined)
    return at(modelPath(model, "embedContent"), editedBody(bodyText, { model: null, dropped: DROPPED, cap: null }));
  const list = bodyText.slice(requests.valueStart, requests.end);
  const items = arrayItems(list);
  if (items === null) return null;
  const edit = { model: `models/${model}`, dropped: NONE, cap: null };
  const edited = items.map(({ start, end }) => editedBody(list.slice(start, end), edit));
  if (edited.includes(null)) return null;
  return { path: modelPath(model, "batchEmbedContents"), bodyText: `{"requests":[${edited.join(",")}]}` };
}
