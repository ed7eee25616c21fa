#!/usr/bin/env node
import { runCli } from "./run-cli.js";

/** The program `sluice`: runs one command and ends with its code. A second signal ends at once, whatever still runs. */

const stopping = new AbortController();
const onSignal = (signal: NodeJS.Signals): void => {
  if (stopping.signal.aborted) process.exit(signal === "SIGINT" ? 130 : 143);
  stopping.abort(signal);
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
