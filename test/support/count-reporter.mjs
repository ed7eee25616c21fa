import { appendFileSync } from "node:fs";
import { relative } from "node:path";

// Prints `N passed, N failed` alone on the last line. A suite that could not run counts as a failure, so a
// broken import is never a quiet zero. With SLUICE_TEST_LIST each test is added to that file, a JSON object a line: what
// fault-table.mjs reads.
export default class CountReporter {
  constructor(globalConfig) {
    this.rootDir = globalConfig.rootDir;
  }

  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const list = process.env.SLUICE_TEST_LIST;
    if (list !== undefined && list !== "") appendFileSync(list, this.lines(results.testResults).join(""));
    process.stdout.write(`\n${String(results.numPassedTests)} passed, ${String(failed)} failed\n`);
  }

  lines(files) {
    return files.flatMap(({ testFilePath, testResults }) =>
      testResults.map(
        ({ title, status }) => `${JSON.stringify({ file: relative(this.rootDir, testFilePath), title, status })}\n`,
      ),
    );
  }
}
