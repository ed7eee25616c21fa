#!/usr/bin/env node
import { runCli } from "./run-cli.js";

/** The program `sluice`: runs one command and ends with its code. A second signal ends at once, whatever still runs. */

/** Whoever signals a whole group of processes reaches this one twice: by itself, and through npm, which passes signals on. */
const SAME_SIGNAL_MS = 1000;

const stopping = new AbortController();
let stoppingSinceMs = 0;
const onSignal = (signal: NodeJS.Signals): void => {
  if (!stopping.signal.aborted) {
    stoppingSinceMs = performance.now();
    stopping.abort(signal);
  } else if (performance.now() - stoppingSinceMs > SAME_SIGNAL_MS) process.exit(signal === "SIGINT" ? 130 : 143);
};
process.on("SIGINT", onSignal).on("SIGTERM", onSignal);

// A reader that went away (`| head`) is no failure of ours; there is nobody left to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

process.exitCode = await runCli(process.argv.slice(2), {
  data: (line) => process.stdout.write(`${line}\n`),
  note: (line) => process.stderr.write(`${line}\n`),
  env: process.env,
  signal: stopping.signal,
});
