// Prints `N passed, N failed` alone on the last line. A suite that could not run counts as a failure, so a
// broken import is never a quiet zero.
export default class CountReporter {
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    process.stdout.write(`\n${String(results.numPassedTests)} passed, ${String(failed)} failed\n`);
  }
}
