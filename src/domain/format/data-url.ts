/** `data:` addresses, in which OpenAI's format holds what the others hold as media type and base64. */

const DATA_URL = /^data:([a-z0-9.+-]+\/[a-z0-9.+-]+);base64,/i;

interface InlineData {
  readonly kind: "data";
  readonly mediaType: string;
  readonly base64: string;
}

/** Null when it is no data address in base64. */
export function readDataUrl(url: string): InlineData | null {
  const start = DATA_URL.exec(url.slice(0, 200));
  if (start === null) return null;
  const [prefix, mediaType] = start;
  return mediaType === undefined
    ? null
    : { kind: "data", mediaType: mediaType.toLowerCase(), base64: url.slice(prefix.length) };
}

export function writeDataUrl(mediaType: string, base64: string): string {
  return `data:${mediaType};base64,${base64}`;
}
