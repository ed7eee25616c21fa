import type { CostRecord } from "./cost-record.js";
import type { EventDocument } from "./event-document.js";
import { flatCost, flatEvent, flatResult } from "./flat-record.js";
import type { RenderSettings } from "./rendering.js";
import type { ResultDocument } from "./result-document.js";

/**
 * The bytes of a result's value.
 * @param bodyText the answer as the provider sent it, which goes in as text: parsing and writing it again could change numbers.
 */
export function resultValue(
  settings: RenderSettings,
  topic: string,
  document: ResultDocument,
  bodyText: string | null,
): Buffer {
  const encoder = settings.encoders?.result ?? null;
  if (encoder !== null) return encoder.encode(topic, flatResult(document, bodyText));
  const text = JSON.stringify(document);
  return Buffer.from(bodyText === null ? text : text.replace('"body":null', () => `"body":${bodyText}`), "utf8");
}

/** The bytes of a cost record's value. */
export function costValue(settings: RenderSettings, record: CostRecord): Buffer {
  const encoder = settings.encoders?.cost ?? null;
  return encoder === null
    ? Buffer.from(JSON.stringify(record), "utf8")
    : encoder.encode(settings.costsTopic, flatCost(record));
}

/** The bytes of an event's value. */
export function eventValue(settings: RenderSettings, document: EventDocument): Buffer {
  const encoder = settings.encoders?.event ?? null;
  return encoder === null
    ? Buffer.from(JSON.stringify(document), "utf8")
    : encoder.encode(settings.eventsTopic, flatEvent(document));
}
