/**
 * `npm run chaos:planted [-- --json] [--only NAME]…`: every bug of test/planted is planted in a copy of the build, and has to be found by its
 * own checker: in the simulation first, on real servers where that can't show it. Says on stderr how far it is; the last line on stdout is
 * JSON with --json. Exit: 0 when all are caught, 1 otherwise (a patch that no longer applies too), 2 usage.
 */
import { register } from "node:module";
import { parseArgs } from "node:util";

register("../typescript-hooks.mjs", import.meta.url);
// What it uses of the product itself is the build: only that has processes to start.
const built = new URL("../../../dist/", import.meta.url).href;
const { runPlanted } = await import(`./planted-command.ts?built=${encodeURIComponent(built)}`);

function flags() {
  try {
    const options = { json: { type: "boolean", default: false }, only: { type: "string", multiple: true } };
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`${error.message}\nusage: npm run chaos:planted [-- --json] [--only NAME]\n`);
    process.exit(2);
  }
}

const { json, only = [] } = flags();
const report = await runPlanted({ only, say: (line) => process.stderr.write(`${line}\n`) });
const { planted, caught, missed } = report;
process.stdout.write(
  json ? `${JSON.stringify(report)}\n` : `${caught} of ${planted} planted bugs caught by their own checkers\n`,
);
process.exitCode = planted > 0 && caught === planted && missed.length === 0 ? 0 : 1;
