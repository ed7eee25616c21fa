/** A record as it lies in a topic. Of a repeated header the last value counts. */
export interface TopicRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: ReadonlyMap<string, Buffer>;
  /** As its producer or the broker set it; null: none was read. */
  readonly timestampMs: number | null;
}

export function headerText(record: TopicRecord, name: string): string | null {
  return record.headers.get(name)?.toString("utf8") ?? null;
}

export function base64OrNull(bytes: Buffer | null | undefined): string | null {
  return bytes?.toString("base64") ?? null;
}

/** Where a record lies, for a person who wants to look. */
export function placeOf(record: TopicRecord): string {
  return `${record.topic}/${String(record.partition)}@${record.offset}`;
}
