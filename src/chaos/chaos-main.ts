/**
 * `npm run chaos`: breaks everything around the gateway and the gateway itself while it works, then has independent checkers judge what
 * came of it. Exit: 0 everything held and every kind of fault fired as often as it must; 1 not so; 2 usage; 130, 143 by signal.
 */
import { ChaosUsageError, CHAOS_USAGE, parseChaosOptions, type ChaosOptions } from "./chaos-options.js";
import { runChaos } from "./run-chaos.js";

const USAGE = 2;

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
const exitCode = options === null ? USAGE : await runChaos(options);
// All is stopped by now. Node 20 has been seen to spin for ever in its own clean-up of handles, which an exit from here passes by.
process.stdout.write("", () => process.exit(exitCode));
