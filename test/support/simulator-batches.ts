/** Batches at the simulator over the plain wire, for tests of what no client shows. */
import { OPENAI_HEADERS, control, send } from "./simulator-harness.js";
import type { Answer } from "./simulator-harness.js";

const MINUTE_MS = 60_000;
const STEPS_MAX = 2000;
const FINAL = ["completed", "failed", "expired", "cancelled"];

/** A line that asks `gpt-4.1-mini` this. */
export function line(id: string, prompt = id, body: object = {}): object {
  const asked = { model: "gpt-4.1-mini", messages: [{ role: "user", content: prompt }], ...body };
  return { custom_id: id, method: "POST", url: "/v1/chat/completions", body: asked };
}

export function lines(count: number): readonly object[] {
  return Array.from({ length: count }, (_, n) => line(`line-${String(n + 1)}`));
}

/** @param all what the lines hold; a text is a line as it is. */
export async function upload(all: readonly (object | string)[]): Promise<string> {
  const boundary = "----a-boundary";
  const text = all.map((one) => `${typeof one === "string" ? one : JSON.stringify(one)}\n`).join("");
  const part = (head: string, body: string): string =>
    `--${boundary}\r\ncontent-disposition: form-data; ${head}\r\n\r\n${body}\r\n`;
  const body = `${part('name="purpose"', "batch")}${part('name="file"; filename="a.jsonl"', text)}--${boundary}--\r\n`;
  const type = { "content-type": `multipart/form-data; boundary=${boundary}` };
  return (await send("/v1/files", { ...OPENAI_HEADERS, ...type }, body)).json.id as string;
}

export function orderBatch(fileId: string, headers: Record<string, string> = {}): Promise<Answer> {
  const body = { input_file_id: fileId, endpoint: "/v1/chat/completions", completion_window: "24h" };
  return send("/v1/batches", { ...OPENAI_HEADERS, ...headers }, JSON.stringify(body));
}

/** The id of a new batch of these lines. */
export async function createBatch(all: readonly (object | string)[]): Promise<string> {
  return (await orderBatch(await upload(all))).json.id as string;
}

// A batch as it comes over the wire: tests look into it freely.
export async function batch(id: string): Promise<any> {
  return (await send(`/v1/batches/${id}`, OPENAI_HEADERS, null, "GET")).json;
}

export async function advance(ms: number): Promise<void> {
  await control("/simulator/clock", "POST", { advanceMs: ms });
}

/** Moves the clock on in steps until `isThere` holds for the batch. */
export async function batchWhen(id: string, isThere: (seen: any) => boolean, stepMs = 30 * MINUTE_MS): Promise<any> {
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const seen = await batch(id);
    if (isThere(seen)) return seen;
    await advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  throw new Error(`batch ${id} did not come to what was waited for: ${JSON.stringify(await batch(id))}`);
}

export function finalBatch(id: string, stepMs?: number): Promise<any> {
  return batchWhen(id, (seen) => FINAL.includes(seen.status as string), stepMs);
}

export async function contentOf(fileId: string): Promise<Answer> {
  return send(`/v1/files/${fileId}/content`, OPENAI_HEADERS, null, "GET");
}

/** The custom ids of a result file, in its order. */
export async function idsIn(fileId: string | null): Promise<readonly string[]> {
  if (fileId === null) return [];
  const rows = (await contentOf(fileId)).text.split("\n").filter((row) => row !== "");
  return rows.map((row) => (JSON.parse(row) as { custom_id: string }).custom_id);
}
