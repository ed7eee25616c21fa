import { createHash } from "node:crypto";
import { DEMO_SCOPE } from "../../demo/demo-scope.js";
import { filmJob, type FilmJob } from "../../demo/film-jobs.js";
import type { Film } from "../../demo/films.js";

/** Tenants whose budget is less than their jobs cost: some of them have to be refused, and none may cost more. */
export const POOR_TENANTS = ["poor-one", "poor-two"] as const;
export const RICH_TENANTS = ["catalogue", "shop"] as const;

/** Long enough that a job outlives several faults, short enough that all of them end soon after the last one. */
const DIRECT_TTL_MS = 120_000;
/** A job that only open reservations keep out of a budget waits until its deadline. */
const POOR_TTL_MS = 20_000;
/** Passed when the record is read. */
const LATE_TTL_MS = 1;

const POOR_EVERY = 40;
const LATE_EVERY = 103;
/** So many jobs in a row ask about the same edition; in a long run films come again, and would all be served from the cache. */
const EDITION_JOBS = 2000;
/** Of ten jobs, so many ask the very question of an earlier edition. */
const SHARED_OF_TEN = 2;

/** Whether the job is sent too late on purpose. */
export function isLate(number: number): boolean {
  return number % LATE_EVERY === 50;
}

function isPoor(number: number): boolean {
  return number % POOR_EVERY === 11;
}

/** Text that only prompts of this tenant bear, so that it is known where it may be. */
export function markOf(tenant: string): string {
  return `mark-${createHash("sha256").update(`mark of ${tenant}`).digest("hex").slice(0, 12)}`;
}

/** Job `number` of a run: the film job of that number, with what chaos needs of times, tenants and editions. Same number, same bytes. */
export function chaosJob(number: number, films: readonly Film[]): FilmJob {
  const job = withTerms(number, filmJob(number, films, DEMO_SCOPE, "mixed"));
  const edition = Math.floor(number / EDITION_JOBS);
  const other = edition > 0 && number % 10 >= SHARED_OF_TEN ? `\nEdition: ${String(edition)}` : "";
  return asking(job, `${other}\nAsked by ${markOf(job.tenant)}.`);
}

function withTerms(number: number, job: FilmJob): FilmJob {
  if (isLate(number)) return { ...job, terms: { mode: "direct", ttlMs: LATE_TTL_MS } };
  if (isPoor(number)) {
    const tenant = POOR_TENANTS[Math.floor(number / POOR_EVERY) % POOR_TENANTS.length] ?? POOR_TENANTS[0];
    return { ...job, tenant, terms: { mode: "direct", ttlMs: POOR_TTL_MS } };
  }
  return job.terms?.mode === "direct" ? { ...job, terms: { mode: "direct", ttlMs: DIRECT_TTL_MS } } : job;
}

/** The job under its own id with another request: what a producer sends that gives one id to two things. */
export function otherRequest(job: FilmJob): FilmJob {
  return asking(job, "\nAnswer in verse.");
}

function asking(job: FilmJob, more: string): FilmJob {
  const [system, question] = job.messageTexts;
  if (system === undefined || question === undefined) throw new Error("expected a system text and a question");
  const longer = question + more;
  const messages = [
    ...(job.format === "openai.chat" ? [{ role: "system", content: system }] : []),
    { role: "user", content: longer },
  ];
  return { ...job, body: { ...job.body, messages }, messageTexts: [system, longer] };
}

/** SHA-256 in hex of what makes two jobs of a tenant the same request. */
export function requestDigest({ format, body }: FilmJob): string {
  return createHash("sha256")
    .update(JSON.stringify([format, body]))
    .digest("hex");
}
