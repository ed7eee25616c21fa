import { appendFileSync } from "node:fs";
import { relative } from "node:path";

/** What Jest calls tests that did not run: skipped, left out by an `only` beside them, or still to be written. */
const NOT_RUN = new Set(["pending", "todo", "skipped", "disabled"]);

// Prints `N passed, N failed` alone on the last line. A suite that could not run counts as a failure, so a
// broken import is never a quiet zero; and so does a test that was skipped, unless names were asked for: each is told on stderr, and the run
// fails. With SLUICE_TEST_LIST each test is added to that file, a JSON object a line: what fault-table.mjs reads.
export default class CountReporter {
  #skipped = 0;

  constructor(globalConfig) {
    this.rootDir = globalConfig.rootDir;
    // Then most tests are left out, and that is what was asked for.
    this.asksForNames = Boolean(globalConfig.testNamePattern);
  }

  onRunComplete(_contexts, results) {
    const skipped = this.asksForNames ? [] : this.notRun(results.testResults);
    this.#skipped = skipped.length;
    for (const line of skipped) process.stderr.write(`not run: ${line}\n`);
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites + skipped.length;
    const list = process.env.SLUICE_TEST_LIST;
    if (list !== undefined && list !== "") appendFileSync(list, this.lines(results.testResults).join(""));
    process.stdout.write(`\n${String(results.numPassedTests)} passed, ${String(failed)} failed\n`);
  }

  /** Jest asks for this behind the run: an error here is one of the run's exit code. */
  getLastError() {
    if (this.#skipped === 0) return undefined;
    return new Error(`${String(this.#skipped)} tests did not run, though no names were asked for`);
  }

  notRun(files) {
    return files.flatMap(({ testFilePath, testResults }) =>
      testResults
        .filter(({ status }) => NOT_RUN.has(status))
        .map(({ title, status }) => `${relative(this.rootDir, testFilePath)}: ${title} (${status})`),
    );
  }

  lines(files) {
    return files.flatMap(({ testFilePath, testResults }) =>
      testResults.map(
        ({ title, status }) => `${JSON.stringify({ file: relative(this.rootDir, testFilePath), title, status })}\n`,
      ),
    );
  }
}
