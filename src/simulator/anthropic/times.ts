/** RFC 3339 with six digits and an offset, as Anthropic's batches have it. */
export function microsecondTime(ms: number | null): string | null {
  return ms === null ? null : `${new Date(ms).toISOString().slice(0, -1)}000+00:00`;
}
