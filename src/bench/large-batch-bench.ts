/**
 * The slow check: batches of full size on real servers. Input up to OpenAI's 200 MB a file, 4 GB of results; what the provider's side holds
 * says whether the split was exact, the operating system what the router held.
 */
import { statfs } from "node:fs/promises";
import { expectBilledOnce, startBatchRouter, startBatchSimulator } from "./batch-bench.js";
import { BenchPlace, type PublishedBody } from "./bench-place.js";
import { peakRssMb } from "./process-usage.js";

/** As OpenAI states them for a batch's input file. */
const INPUT_BYTES_MAX = 200_000_000;
const LINES_MAX = 50_000;
/** A line of the input, ids and frame included: 50,000 of them are 0.5 % above the limit in bytes, so that bytes split the first batch. */
const LINE_BYTES = 4020;
const FRAME_BYTES = 394;
/** 50,000 results of it are 4 GB. */
const ANSWER_CHARACTERS = 80_000;
/** A record's bytes are in the simulator's file, in Postgres (with its log), and in Kafka. */
const DISK_BYTES_PER_LINE = 400_000;
const RUN_TIMEOUT_MS = 3_600_000;
const PROGRESS_MS = 10_000;

export interface LargeBatchFigures {
  readonly lines: number;
  readonly batches: number;
  /** Bytes of each input file, in millions. */
  readonly inputMb: readonly number[];
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
export async function largeBatchBench(lines: number, note: (line: string) => void): Promise<LargeBatchFigures> {
  const place = await BenchPlace.open(note);
  try {
    await expectDisk(place.folder, lines * DISK_BYTES_PER_LINE);
    const simulator = await startBatchSimulator(place, note);
    try {
      return await measured(place, simulator, lines, note);
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
  lines: number,
  note: (line: string) => void,
): Promise<LargeBatchFigures> {
  const topics = await place.freshTopics();
  const router = await startBatchRouter(place, simulator, { topics, lines, flushAfterMs: 120_000 }, note);
  const startMs = Date.now();
  await place.publish(topics.jobs, 0, lines, longBody);
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
    return {
      lines,
      ...(await provedBatches(simulator.url, lines)),
      linesPerS: Math.round((lines * 1000) / (endMs - startMs)),
      peakRssMb: peakRssMb(router.pid),
    };
  } finally {
    clearInterval(progress);
  }
}

/** A prompt that makes a line of the input as long as stated, and asks for a JSON value of 80 KB. */
const longBody: PublishedBody = (number) => ({
  model: "cheap",
  messages: [
    {
      role: "user",
      content: `${String(number).padStart(8, "0")} ${"of a long text ".repeat(LINE_BYTES)}`.slice(
        0,
        LINE_BYTES - FRAME_BYTES,
      ),
    },
  ],
  max_tokens: 32_000,
  response_format: {
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
  },
});

async function provedBatches(
  url: string,
  lines: number,
): Promise<Pick<LargeBatchFigures, "batches" | "inputMb" | "resultsMb">> {
  const { batches } = (await get(`${url}/simulator/batches`)) as {
    readonly batches: readonly { readonly state: string; readonly total: number }[];
  }; // the edge: our own simulator
  const odd = batches.filter(({ state, total }) => state !== "completed" || total > LINES_MAX);
  if (odd.length > 0) throw new Error(`expected every batch to complete within the limits: ${JSON.stringify(odd)}`);
  const sum = batches.reduce((total, batch) => total + batch.total, 0);
  if (sum !== lines) throw new Error(`expected ${String(lines)} lines in all batches, found ${String(sum)}`);
  const { data } = (await get(`${url}/v1/files?limit=1000`)) as { readonly data: readonly StoredFile[] }; // as above
  const inputs = data.filter(({ purpose }) => purpose === "batch").map(({ bytes }) => bytes);
  const over = inputs.filter((bytes) => bytes > INPUT_BYTES_MAX);
  if (over.length > 0) throw new Error(`expected no input file over the limit: ${JSON.stringify(over)}`);
  const results = data
    .filter(({ purpose }) => purpose === "batch_output")
    .reduce((total, { bytes }) => total + bytes, 0);
  const megabytes = (bytes: number): number => Number((bytes / 1e6).toFixed(3));
  return { batches: batches.length, inputMb: inputs.map(megabytes), resultsMb: megabytes(results) };
}

async function get(url: string): Promise<unknown> {
  const answer = await fetch(url, { headers: { authorization: "Bearer bench" } });
  if (!answer.ok) throw new Error(`expected ${url} to answer, got ${String(answer.status)}`);
  return answer.json();
}
