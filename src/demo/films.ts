import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** One film as the data set holds it; null where the data set knows nothing. */
export interface Film {
  readonly title: string | null;
  readonly releaseDate: string | null;
  readonly director: string | null;
  readonly genre: string | null;
  readonly distributor: string | null;
  readonly mpaaRating: string | null;
  readonly imdbRating: string | null;
  readonly creativeType: string | null;
}

/**
 * Reads the films of the npm package `vega-datasets` from its installed file: 3,201 films in the order of the file.
 * @throws Error when the package is not installed or the file is not a list.
 * Source: vega-datasets 3.2.1, data/movies.json (titles are sometimes numbers there, as for the film "1776").
 */
export function readFilms(): readonly Film[] {
  // The package exports only its entry, so the file is found beside it.
  const file = join(dirname(createRequire(import.meta.url).resolve("vega-datasets")), "../data/movies.json");
  const rows: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (!Array.isArray(rows)) throw new Error(`expected a list of films in ${file}`);
  return rows.map(toFilm);
}

function toFilm(row: unknown): Film {
  // Parsing edge: the file's rows are flat objects; each field is checked by `textOf`.
  const fields = row as Readonly<Record<string, unknown>>;
  return {
    title: textOf(fields["Title"]),
    releaseDate: textOf(fields["Release Date"]),
    director: textOf(fields["Director"]),
    genre: textOf(fields["Major Genre"]),
    distributor: textOf(fields["Distributor"]),
    mpaaRating: textOf(fields["MPAA Rating"]),
    imdbRating: textOf(fields["IMDB Rating"]),
    creativeType: textOf(fields["Creative Type"]),
  };
}

function textOf(value: unknown): string | null {
  if (typeof value === "string") return value;
  return typeof value === "number" ? String(value) : null;
}
