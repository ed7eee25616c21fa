/** One thing wrong with the config. `line` and `column` count from 1 and point at the key or value to change. */
export interface ConfigProblem {
  /** Keys joined by dots, list positions in brackets: `models.cheap.candidates[0].provider`; empty for the whole file. */
  readonly path: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** The config can't be used: ends the start with every problem at once. Nothing was opened or changed. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly file: string;
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[], options?: ErrorOptions) {
    super(problems.map((problem) => formatProblem(file, problem)).join("\n"), options);
    this.file = file;
    this.problems = problems;
  }
}

/** `file:line:column: path: message`, the form that editors and terminals make clickable. */
export function formatProblem(file: string, problem: ConfigProblem): string {
  const place = `${file}:${String(problem.line)}:${String(problem.column)}`;
  return problem.path === "" ? `${place}: ${problem.message}` : `${place}: ${problem.path}: ${problem.message}`;
}
