import type { ConfigDocument, Place } from "./document.js";

export type Environment = Readonly<Record<string, string | undefined>>;
/** Text of the file at an absolute path; throws when it can't be read. */
export type ReadFile = (path: string) => string;

const REFERENCE = /\$\{([^{}]*)\}/g;
const ENVIRONMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const FILE_PREFIX = "file:";
/** A mounted secret is a key or a URL; a larger file is the wrong one. */
const SECRET_CHARACTERS_MAX = 65_536;

export interface InterpolationProblem extends Place {
  readonly message: string;
}

/**
 * Puts the values of `${NAME}` and `${file:/run/secrets/name}` into every text of the document. `NAME_FILE` is read when `NAME` is unset
 * (the custom of container images). What can't be found is a problem, and its text stays as written. A value is taken as it is:
 * `${…}` inside it means nothing.
 */
export function interpolate(
  document: ConfigDocument,
  env: Environment,
  readFile: ReadFile,
): readonly InterpolationProblem[] {
  const problems: InterpolationProblem[] = [];
  document.mapTexts((text, place) => {
    if (!text.includes("${")) return null;
    const missing: string[] = [];
    const replaced = text.replace(REFERENCE, (whole, reference: string) => {
      const found = lookUp(reference.trim(), env, readFile);
      if ("value" in found) return found.value;
      missing.push(found.problem);
      return whole;
    });
    problems.push(...missing.map((message) => ({ ...place, message })));
    return missing.length > 0 ? null : replaced;
  });
  return problems;
}

/** Whether a text as written in the file is one reference and nothing else: the only form a secret may have. */
export function isReference(text: string): boolean {
  return /^\$\{[^{}]+\}$/.test(text.trim());
}

type Lookup = { readonly value: string } | { readonly problem: string };

function lookUp(reference: string, env: Environment, readFile: ReadFile): Lookup {
  if (reference.startsWith(FILE_PREFIX)) return readSecret(reference.slice(FILE_PREFIX.length), readFile);
  if (!ENVIRONMENT_NAME.test(reference)) {
    return { problem: `expected \${NAME} or \${file:/run/secrets/name}, got \${${reference}}` };
  }
  const value = env[reference];
  if (value !== undefined && value !== "") return { value };
  const file = env[`${reference}_FILE`];
  if (file !== undefined && file !== "") return readSecret(file, readFile);
  return {
    problem: `the environment variable ${reference} is ${value === "" ? "empty" : "not set"}; set it, or ${reference}_FILE to a file that holds the value`,
  };
}

function readSecret(path: string, readFile: ReadFile): Lookup {
  if (!path.startsWith("/") || path.split("/").includes("..")) {
    return { problem: `expected an absolute path such as /run/secrets/name, got ${path}` };
  }
  let content: string;
  try {
    content = readFile(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    return { problem: `can't read ${path} (${code}); mount the file or change the reference` };
  }
  const value = content.replace(/\r?\n$/, "");
  if (value === "" || value.length > SECRET_CHARACTERS_MAX) {
    return {
      problem: `expected ${path} to hold 1 to ${String(SECRET_CHARACTERS_MAX)} characters, it holds ${String(value.length)}`,
    };
  }
  return { value };
}
