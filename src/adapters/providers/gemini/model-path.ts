/** `/models/{model}:{method}`, below the base URL. */
export function modelPath(model: string, method: string): string {
  return `/models/${encodeURIComponent(model)}:${method}`;
}
