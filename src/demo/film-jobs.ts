import { createHash } from "node:crypto";
import type { DemoScope } from "./demo-scope.js";
import type { Film } from "./films.js";
import { termsOf } from "./job-mix.js";
import type { JobMix, JobTerms } from "./job-mix.js";

export const TASK_NAMES = ["pitch", "parent", "style", "shelf", "audience"] as const;
export type TaskName = (typeof TASK_NAMES)[number];

/** A request in its format. */
export type FilmBody = Readonly<Record<string, unknown>> & { readonly model: string };

/** One job of the demo, before it is encoded. `promptDigest` is computed from `messageTexts` by the simulator's stated rule. */
export interface FilmJob {
  readonly number: number;
  readonly jobId: string;
  readonly tenant: string;
  readonly task: TaskName;
  readonly format: "openai.chat" | "anthropic.messages";
  readonly encoding: "json" | "avro";
  readonly body: FilmBody;
  /** Null: it says nothing of mode and time. */
  readonly terms: JobTerms | null;
  /** System text first, then the messages' texts in order. */
  readonly messageTexts: readonly string[];
  /** The Kafka record's key; null for some jobs and not UTF-8 for some, because keys promise neither. */
  readonly key: Buffer | null;
  /** 16 bytes that the result has to bring back. */
  readonly correlation: Buffer;
}

interface Task {
  readonly name: TaskName;
  readonly tenant: "catalogue" | "shop";
  readonly system: string;
  readonly question: string;
  readonly facts: (film: Film) => readonly (readonly [string, string | null])[];
}

const CATALOGUE_VOICE = "You write short entries for a film catalogue. Answer in one sentence.";
const SHOP_VOICE = "You help a shop that sells films. Answer in a few words.";

const TASKS: readonly Task[] = [
  {
    name: "pitch",
    tenant: "catalogue",
    system: CATALOGUE_VOICE,
    question: "Write a pitch for this film.",
    facts: (film) => [
      ["Title", film.title],
      ["Released", film.releaseDate],
      ["Director", film.director],
      ["Genre", film.genre],
    ],
  },
  {
    name: "parent",
    tenant: "catalogue",
    system: CATALOGUE_VOICE,
    question: "Which company owns the distributor of this film?",
    facts: (film) => [["Distributor", film.distributor]],
  },
  {
    name: "style",
    tenant: "catalogue",
    system: CATALOGUE_VOICE,
    question: "What is the style of this film's director?",
    facts: (film) => [["Director", film.director]],
  },
  {
    name: "shelf",
    tenant: "shop",
    system: SHOP_VOICE,
    question: "Write the label of the shelf where this film belongs.",
    facts: (film) => [
      ["Genre", film.genre],
      ["Rating", film.mpaaRating],
      ["Type", film.creativeType],
    ],
  },
  {
    name: "audience",
    tenant: "shop",
    system: SHOP_VOICE,
    question: "Who will enjoy this film?",
    facts: (film) => [
      ["Title", film.title],
      ["Rating", film.mpaaRating],
      ["IMDB rating", film.imdbRating],
    ],
  },
];

export const MODEL_ALIAS = "cheap";
/** What the shop asks in a mixed run, so that the batches of both providers are seen. */
export const SHOP_ALIAS = "shelf";
/** Anthropic's format requires a limit; the same for all jobs, so it does not change which requests are equal. */
const MAX_TOKENS = 256;

/**
 * Job `number` of the demo: film `number mod films`, task `number mod 5`. A fact that the data set does not know is left out,
 * so two films without a director ask the same question. Same number, films, scope and mix give the same bytes.
 */
export function filmJob(number: number, films: readonly Film[], scope: DemoScope, mix: JobMix = "plain"): FilmJob {
  const film = films[number % films.length];
  const task = TASKS[number % TASKS.length];
  if (film === undefined || task === undefined)
    throw new RangeError("expected at least one film and a job number from 0 up");
  const question = [task.question, ...knownFacts(task, film)].join("\n");
  const format = task.tenant === "shop" && scope.anthropic ? "anthropic.messages" : "openai.chat";
  return {
    number,
    jobId: `film-${String(number)}`,
    tenant: task.tenant,
    task: task.name,
    format,
    encoding: scope.avro && number % 4 === 3 ? "avro" : "json",
    body:
      format === "openai.chat"
        ? chatBody(task.system, question)
        : messagesBody(mix === "mixed" ? SHOP_ALIAS : MODEL_ALIAS, task.system, question),
    terms: termsOf(mix, number),
    messageTexts: [task.system, question],
    key: recordKey(number, films.length),
    correlation: createHash("sha256")
      .update(`correlation of film job ${String(number)}`)
      .digest()
      .subarray(0, 16),
  };
}

function knownFacts(task: Task, film: Film): readonly string[] {
  return task.facts(film).flatMap(([label, value]) => (value === null ? [] : [`${label}: ${value}`]));
}

function chatBody(system: string, question: string): FilmBody {
  const messages = [
    { role: "system", content: system },
    { role: "user", content: question },
  ];
  return { model: MODEL_ALIAS, messages, temperature: 0 };
}

function messagesBody(model: string, system: string, question: string): FilmBody {
  return {
    model,
    max_tokens: MAX_TOKENS,
    system,
    messages: [{ role: "user", content: question }],
    temperature: 0,
  };
}

function recordKey(number: number, filmCount: number): Buffer | null {
  if (number % 20 === 13) return null;
  if (number % 50 === 7) return Buffer.from([0xff, 0xfe, number & 0xff, (number >> 8) & 0xff]);
  return Buffer.from(`film-${String(number % filmCount)}`, "utf8");
}

/** What makes two jobs of the demo the same request: tenant, format and body. */
export function distinctRequestKey(job: FilmJob): string {
  return JSON.stringify([job.tenant, job.format, job.body]);
}
