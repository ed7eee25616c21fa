import { describe, expect, test } from "@jest/globals";
import { distinctRequestKey, filmJob } from "../../src/demo/film-jobs.js";
import type { FilmJob } from "../../src/demo/film-jobs.js";
import { readFilms } from "../../src/demo/films.js";
import { malformedRecord, malformedRecordCount } from "../../src/demo/malformed-records.js";
import { promptDigest } from "../../src/demo/reader/published-list.js";

const films = readFilms();
const EVERYTHING = { anthropic: true, avro: true };
const JSON_CHAT_ONLY = { anthropic: false, avro: false };

function jobs(count: number, scope = EVERYTHING): readonly FilmJob[] {
  return Array.from({ length: count }, (_unused, number) => filmJob(number, films, scope));
}

function jobAt(number: number): FilmJob {
  return filmJob(number, films, EVERYTHING);
}

describe("the demo's jobs", () => {
  test("come from the 3,201 films of the data set, those with numbers for titles included", () => {
    expect(films).toHaveLength(3201);
    expect(films.filter((film) => film.title === null)).toHaveLength(1);
    expect(films[0]).toEqual({
      title: "The Land Girls",
      releaseDate: "Jun 12 1998",
      director: null,
      genre: null,
      distributor: "Gramercy",
      mpaaRating: "R",
      imdbRating: "6.1",
      creativeType: null,
    });
  });

  test.each([
    [1000, 609],
    [3000, 1668],
    [5000, 2616],
  ])("of %i jobs, %i requests are different, with and without Anthropic's format", (count, distinct) => {
    expect(new Set(jobs(count).map(distinctRequestKey)).size).toBe(distinct);
    expect(new Set(jobs(count, JSON_CHAT_ONLY).map(distinctRequestKey)).size).toBe(distinct);
  });

  test("have as many different prompts as different requests, so a swapped answer shows", () => {
    const prompts = new Set(jobs(5000).map((job) => promptDigest(job.messageTexts)));
    expect(prompts.size).toBe(2616);
  });

  test("leave out what the data set does not know", () => {
    expect(jobAt(0).messageTexts[1]).toBe("Write a pitch for this film.\nTitle: The Land Girls\nReleased: Jun 12 1998");
    expect(jobAt(2).messageTexts[1]).toBe("What is the style of this film's director?");
  });

  test("repeat after all films with the next task", () => {
    expect(jobAt(3201).task).toBe("parent");
    expect(jobAt(3201).messageTexts[1]).toContain("Distributor: Gramercy");
  });

  test("of the catalogue are chat, those of the shop Anthropic messages with the system text apart", () => {
    expect(jobs(5).map(({ tenant, format }) => `${tenant} ${format}`)).toEqual([
      "catalogue openai.chat",
      "catalogue openai.chat",
      "catalogue openai.chat",
      "shop anthropic.messages",
      "shop anthropic.messages",
    ]);
    expect(jobAt(3).body).toMatchObject({
      model: "cheap",
      temperature: 0,
      system: jobAt(3).messageTexts[0],
      messages: [{ role: "user" }],
    });
    // The model is all that a mixed run changes in a request, so there are as many different ones.
    const alone = jobAt(3).body;
    expect(filmJob(3, films, EVERYTHING, "mixed").body).toEqual({ ...alone, model: "shelf" });
    expect(filmJob(0, films, EVERYTHING, "mixed").body).toEqual(jobAt(0).body);
    expect(filmJob(3, films, JSON_CHAT_ONLY)).toMatchObject({
      tenant: "shop",
      format: "openai.chat",
      encoding: "json",
    });
  });

  test("say nothing of mode and time, or three films of ten at once and the others within a day", () => {
    expect(jobAt(0).terms).toBeNull();
    const mixed = Array.from({ length: 100 }, (_unused, number) => filmJob(number, films, EVERYTHING, "mixed").terms);
    expect(mixed.slice(0, 15)).toEqual(Array.from({ length: 15 }, () => ({ mode: "direct", ttlMs: 30_000 })));
    expect(mixed.slice(15, 50)).toEqual(Array.from({ length: 35 }, () => ({ mode: "auto", ttlMs: 86_400_000 })));
    expect(mixed.slice(50)).toEqual(mixed.slice(0, 50));
  });

  test("are Avro for every fourth", () => {
    expect(jobs(8).map(({ encoding }) => encoding)).toEqual([
      "json",
      "json",
      "json",
      "avro",
      "json",
      "json",
      "json",
      "avro",
    ]);
  });

  test("carry 16 correlation bytes each, all different, and some no key or one that is not UTF-8", () => {
    const all = jobs(1000);
    expect(new Set(all.map(({ correlation }) => correlation.toString("hex"))).size).toBe(1000);
    expect(all.every(({ correlation }) => correlation.length === 16)).toBe(true);
    expect(all.filter(({ key }) => key === null)).toHaveLength(50);
    expect(all.filter(({ key }) => key !== null && !isUtf8(key))).toHaveLength(20);
  });

  test("are the same bytes in every run", () => {
    expect(jobs(50)).toEqual(jobs(50));
  });
});

describe("the malformed records", () => {
  test("are one per hundred jobs", () => {
    expect([99, 100, 1000, 5050].map(malformedRecordCount)).toEqual([0, 1, 10, 50]);
  });

  test("are all different, and none of them is JSON in UTF-8", () => {
    const records = Array.from({ length: 50 }, (_unused, number) => malformedRecord(number));
    expect(new Set(records.map((bytes) => bytes.toString("hex"))).size).toBe(50);
    for (const bytes of records) expect(() => parseStrictly(bytes)).toThrow();
  });
});

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString("utf8"), "utf8").equals(bytes);
}

function parseStrictly(bytes: Buffer): unknown {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
}
