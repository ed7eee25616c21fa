/**
 * `npm run chaos`: breaks everything around the gateway and the gateway itself while it works, then has independent checkers judge what
 * came of it. Exit: 0 everything held and every kind of fault fired as often as it must; 1 not so; 2 usage; 130, 143 by signal.
 */
import { ChaosUsageError, CHAOS_USAGE, parseChaosOptions, type ChaosOptions } from "./chaos-options.js";
import { runChaos } from "./run-chaos.js";

const USAGE = 2;
const EXIT_GRACE_MS = 10_000;

function optionsOrUsage(): ChaosOptions | null {
  try {
    return parseChaosOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof ChaosUsageError)) throw error;
    process.stderr.write(`chaos: ${error.message}\n${CHAOS_USAGE}\n`);
    return null;
  }
}

const options = optionsOrUsage();
process.exitCode = options === null ? USAGE : await runChaos(options);
// All is stopped by now. What still keeps the process alive is named, and does not keep whoever waits for its end.
setTimeout(() => {
  process.stderr.write(
    `chaos: still open ${String(EXIT_GRACE_MS / 1000)} s after the end: ${process.getActiveResourcesInfo().join(", ")}\n`,
  );
  process.exit();
}, EXIT_GRACE_MS).unref();
