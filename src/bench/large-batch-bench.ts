/**
 * The slow check: batches of full size on real servers. At OpenAI input of 200 MB a file and 4 GB of results, at Anthropic 256 MB within the
 * call that makes the batch. What the provider's side holds says whether the split was exact, the operating system what the router held.
 */
import { statfs } from "node:fs/promises";
import { expectBilledOnce, startBatchRouter, startBatchSimulator } from "./batch-bench.js";
import { BenchPlace, type PublishedBody, type PublishedFormat } from "./bench-place.js";
import { peakRssMb } from "./process-usage.js";

export type LargeBatchProvider = "openai" | "anthropic";

interface Size {
  readonly format: PublishedFormat;
  readonly model: string;
  /** As the provider states it for one batch. */
  readonly linesMax: number;
  /** As the provider states it for a batch's input file; null: there is none. */
  readonly fileBytesMax: number | null;
  /** A little more than one batch may hold, so that it must be split. */
  readonly lines: number;
  /** What a record takes in the simulator's file, in Postgres (with its log), and in Kafka. */
  readonly diskBytesPerLine: number;
  readonly body: PublishedBody;
}

/** 50,000 results of it are 4 GB. */
const ANSWER_CHARACTERS = 80_000;

/** Lines, ids and frame included, of 0.5 % more than the limit in bytes by as many lines: bytes split the first batch. */
const SIZES: Readonly<Record<LargeBatchProvider, Size>> = {
  openai: {
    format: "openai.chat",
    model: "gpt-4.1-mini",
    linesMax: 50_000,
    fileBytesMax: 200_000_000,
    lines: 50_100,
    diskBytesPerLine: 400_000,
    body: (number) => ({ ...longBody(number, 4020 - 394), max_tokens: 32_000, response_format: LONG_ANSWER }),
  },
  anthropic: {
    format: "anthropic.messages",
    model: "claude-haiku-4-5",
    linesMax: 100_000,
    fileBytesMax: null,
    lines: 100_200,
    diskBytesPerLine: 20_000,
    body: (number) => ({ ...longBody(number, 2573 - 131), max_tokens: 200 }),
  },
};
const RUN_TIMEOUT_MS = 3_600_000;
const PROGRESS_MS = 10_000;

export interface LargeBatchFigures {
  readonly lines: number;
  readonly batches: number;
  readonly linesOfBatches: readonly number[];
  /** Bytes of each input file, in millions; none where lines go with the call. */
  readonly inputMb: readonly number[];
  /** Bytes of the files of results, in millions. */
  readonly resultsMb: number;
  readonly linesPerS: number;
  /** MiB, of the router, from its start to the last result. */
  readonly peakRssMb: number;
}

interface StoredFile {
  readonly id: string;
  readonly bytes: number;
  readonly purpose: string;
}

/** @throws Error when the disk is too small, a batch was refused or over a limit, or a line was not billed exactly once. */
export async function largeBatchBench(
  provider: LargeBatchProvider,
  wantedLines: number | undefined,
  note: (line: string) => void,
): Promise<LargeBatchFigures> {
  const lines = wantedLines ?? SIZES[provider].lines;
  const place = await BenchPlace.open(note);
  try {
    await expectDisk(place.folder, lines * SIZES[provider].diskBytesPerLine);
    const simulator = await startBatchSimulator(place, note);
    try {
      return await measured(place, simulator, { provider, lines }, note);
    } finally {
      await simulator.stop();
    }
  } finally {
    await place.close();
  }
}

async function expectDisk(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < bytes)
    throw new Error(
      `expected ${gigabytes(bytes)} GB of free disk at ${folder}, found ${gigabytes(bavail * bsize)}: free some, or take fewer --lines`,
    );
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}

async function measured(
  place: BenchPlace,
  simulator: Awaited<ReturnType<typeof startBatchSimulator>>,
  { provider, lines }: { readonly provider: LargeBatchProvider; readonly lines: number },
  note: (line: string) => void,
): Promise<LargeBatchFigures> {
  const { format, model, body } = SIZES[provider];
  const topics = await place.freshTopics();
  const setup = { topics, lines, kind: provider, models: { cheap: model }, flushAfterMs: 120_000 };
  let refused = 0;
  const router = await startBatchRouter(place, simulator, setup, (line) => {
    if (line.includes('"batch.refused"')) refused += 1;
    note(line);
  });
  const startMs = Date.now();
  await place.publish(topics.jobs, 0, lines, body, format);
  note(`${String(lines)} jobs published in ${String(Date.now() - startMs)} ms`);
  const progress = setInterval(() => {
    void place.recordsIn(topics.results).then(
      (found) => {
        note(`${String(found)} results, router at most ${String(peakRssMb(router.pid))} MiB`);
      },
      () => undefined, // the run itself will say what is wrong
    );
  }, PROGRESS_MS);
  try {
    const endMs = await place.waitForRecords(topics.results, lines, RUN_TIMEOUT_MS);
    await expectBilledOnce(simulator, lines);
    if (refused > 0) throw new Error(`expected no batch to be refused for its size, ${String(refused)} were`);
    return {
      lines,
      ...(await provedBatches(simulator.url, SIZES[provider], lines)),
      linesPerS: Math.round((lines * 1000) / (endMs - startMs)),
      peakRssMb: peakRssMb(router.pid),
    };
  } finally {
    clearInterval(progress);
  }
}

function longBody(number: number, characters: number): Readonly<Record<string, unknown>> {
  const content = `${String(number).padStart(8, "0")} ${"of a long text ".repeat(characters)}`.slice(0, characters);
  return { model: "cheap", messages: [{ role: "user", content }] };
}

/** A JSON value of 80 KB. */
const LONG_ANSWER = {
  type: "json_schema",
  json_schema: {
    name: "long",
    strict: true,
    schema: {
      type: "object",
      properties: { text: { type: "string", minLength: ANSWER_CHARACTERS } },
      required: ["text"],
      additionalProperties: false,
    },
  },
};

async function provedBatches(
  url: string,
  { linesMax, fileBytesMax }: Size,
  lines: number,
): Promise<Pick<LargeBatchFigures, "batches" | "linesOfBatches" | "inputMb" | "resultsMb">> {
  const { batches } = (await get(`${url}/simulator/batches`)) as {
    readonly batches: readonly { readonly state: string; readonly total: number }[];
  }; // the edge: our own simulator
  const odd = batches.filter(({ state, total }) => state !== "completed" || total > linesMax);
  if (odd.length > 0) throw new Error(`expected every batch to complete within the limits: ${JSON.stringify(odd)}`);
  const sum = batches.reduce((total, batch) => total + batch.total, 0);
  if (sum !== lines) throw new Error(`expected ${String(lines)} lines in all batches, found ${String(sum)}`);
  const found = { batches: batches.length, linesOfBatches: batches.map(({ total }) => total) };
  if (fileBytesMax === null) return { ...found, inputMb: [], resultsMb: 0 };
  const { data } = (await get(`${url}/v1/files?limit=1000`)) as { readonly data: readonly StoredFile[] }; // as above
  const inputs = data.filter(({ purpose }) => purpose === "batch").map(({ bytes }) => bytes);
  const over = inputs.filter((bytes) => bytes > fileBytesMax);
  if (over.length > 0) throw new Error(`expected no input file over the limit: ${JSON.stringify(over)}`);
  const results = data
    .filter(({ purpose }) => purpose === "batch_output")
    .reduce((total, { bytes }) => total + bytes, 0);
  const megabytes = (bytes: number): number => Number((bytes / 1e6).toFixed(3));
  return { ...found, inputMb: inputs.map(megabytes), resultsMb: megabytes(results) };
}

async function get(url: string): Promise<unknown> {
  const answer = await fetch(url, { headers: { authorization: "Bearer bench" } });
  if (!answer.ok) throw new Error(`expected ${url} to answer, got ${String(answer.status)}`);
  return answer.json();
}
