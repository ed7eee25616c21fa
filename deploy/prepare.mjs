/**
 * The first thing each npm command runs: makes sure of the Node version, the packages and the build, then runs what was
 * asked for. Uses nothing but Node itself, since it runs before anything is installed. Its own words go to stderr, so
 * that the last line on stdout is that of the command.
 *
 *   node deploy/prepare.mjs demo|bench|load|chaos|planted|simulate|fuzz|faults|matrix|sluice|check|test [arguments]
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_VERSION_MIN = [20, 19];
const INSTALL_STAMP = join(ROOT, "node_modules", ".sluice-installed");
const BUILD_STAMP = join(ROOT, "dist", ".built");
/** Measured with an empty cache of npm's; announced before a download and not relied on. */
const PACKAGES_MB = { download: 110, disk: 410 };
const MAIN = join("dist", "cli", "main.js");
const MATRIX = join("dist", "matrix", "matrix-main.js");
const CHAOS = join("dist", "chaos", "chaos-main.js");
const FUZZ = join("test", "support", "fuzz", "fuzz-main.mjs");
const FAULT_TABLE = join("test", "support", "fault-table.mjs");
const SIMULATE = join("test", "support", "simulation", "simulate-main.mjs");
const PLANTED = join("test", "support", "planted", "planted-main.mjs");
const REPORTS = join(ROOT, ".sluice", "reports");
/** What ran in the last `npm test` or `npm run check`, a test a line. */
const TEST_LIST = join(REPORTS, "tests.jsonl");
const FAST_TESTS = [
  "test/unit",
  "test/property",
  "test/simulation",
  "test/golden",
  "test/contract-sdk",
  "test/providers",
];
/** The line of test/support/count-reporter.mjs. */
const COUNT_LINE = /^(\d+) passed, (\d+) failed$/;

/** The process that runs now, for signals to be passed on to. */
let current = null;
let interrupted = null;

function say(text) {
  process.stderr.write(`${text}\n`);
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [wantedMajor, wantedMinor] = NODE_VERSION_MIN;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  say(
    `Sluice needs Node ${NODE_VERSION_MIN.join(".")} or newer; this is ${process.versions.node} (${process.execPath}).`,
  );
  process.exit(1);
}

/** Runs a program from the root folder; resolves to its exit code. `onLine` sees each line of its stdout, which is passed on. */
function run(command, args, { env = {}, stdout = "inherit", onLine = null } = {}) {
  if (interrupted !== null) return Promise.resolve(1);
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ["inherit", onLine === null ? stdout : "pipe", "inherit"],
    });
    current = child;
    if (onLine !== null) passLinesOn(child.stdout, onLine);
    child.once("error", (error) => {
      say(`${command} can't be run: ${error.message}`);
      resolve(1);
    });
    // "close", not "exit": only then has all of its output been read.
    child.once("close", (code, signal) => {
      current = null;
      resolve(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}

function passLinesOn(stream, onLine) {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text) => {
    process.stdout.write(text);
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) onLine(line);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}

function lockDigest() {
  return createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .digest("hex");
}

async function installWhenNeeded() {
  const digest = lockDigest();
  if (existsSync(INSTALL_STAMP) && readFileSync(INSTALL_STAMP, "utf8") === digest) return;
  say(
    `installing packages (npm ci): about ${PACKAGES_MB.download} MB to download unless npm has them, ${PACKAGES_MB.disk} MB in node_modules, once ...`,
  );
  // Its talk goes to stderr like ours.
  if ((await run("npm", ["ci"], { stdout: 2 })) !== 0) {
    say("npm ci failed; nothing was run");
    process.exit(1);
  }
  writeFileSync(INSTALL_STAMP, digest);
}

function newestBelow(folder) {
  let newestMs = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    // Folders too: a removed file leaves no other trace.
    newestMs = Math.max(newestMs, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return newestMs;
}

function isBuilt() {
  if (!existsSync(BUILD_STAMP)) return false;
  const configMs = Math.max(
    ...["tsconfig.json", "package-lock.json"].map((file) => statSync(join(ROOT, file)).mtimeMs),
  );
  return statSync(BUILD_STAMP).mtimeMs >= Math.max(newestBelow(join(ROOT, "src")), configMs);
}

/** @returns true when there is a build of the sources as they are now. */
async function buildWhenNeeded() {
  if (isBuilt()) return true;
  const startedMs = Date.now();
  say("building (tsc) ...");
  if ((await run(process.execPath, [bin("typescript/bin/tsc"), "-p", "tsconfig.json"], { stdout: 2 })) !== 0)
    return false;
  writeFileSync(BUILD_STAMP, "");
  // As old as the start: a source that was changed while the compiler ran makes the next command build again.
  utimesSync(BUILD_STAMP, new Date(startedMs), new Date(startedMs));
  say(`built in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
  return true;
}

function bin(path) {
  return join(ROOT, "node_modules", path);
}

function runMain(args) {
  return runBuilt(MAIN, args);
}

async function runBuilt(script, args) {
  if (!(await buildWhenNeeded())) {
    say("the build failed; nothing was run");
    return 1;
  }
  return run(process.execPath, [script, ...args]);
}

/** Every step runs even if one before it failed: one look at the end shows all that is wrong. */
async function runSteps(steps) {
  const total = { passed: 0, failed: 0 };
  for (const step of steps) {
    if (interrupted !== null) break;
    say(`--- ${step.title}`);
    const { passed, failed } = await step.work();
    total.passed += passed;
    total.failed += failed;
  }
  if (interrupted !== null) total.failed += 1;
  process.stdout.write(`${total.passed} passed, ${total.failed} failed\n`);
  return total.failed === 0 ? 0 : 1;
}

/** A step without tests of its own counts as one. */
function tool(title, script, args) {
  return { title, work: async () => asCount((await run(process.execPath, [bin(script), ...args])) === 0) };
}

function asCount(passed) {
  return passed ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

function jest(title, args) {
  return { title, work: () => runJest(args) };
}

async function runJest(args) {
  const count = { passed: 0, failed: 0 };
  const onLine = (line) => {
    const match = COUNT_LINE.exec(line);
    if (match === null) return;
    count.passed += Number(match[1]);
    count.failed += Number(match[2]);
  };
  const env = {
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ""} --experimental-vm-modules --no-warnings`.trim(),
    SLUICE_TEST_LIST: TEST_LIST,
  };
  const code = await run(process.execPath, [bin("jest/bin/jest.js"), ...args], { env, onLine });
  // A suite that can't be loaded, or servers that can't be started, fail without a failed test.
  if (code !== 0 && count.failed === 0) count.failed = 1;
  return count;
}

function checkSteps(jestArgs) {
  return [
    tool("format (prettier)", "prettier/bin/prettier.cjs", ["--check", "--log-level", "warn", "."]),
    tool("lint (eslint)", "eslint/bin/eslint.js", ["."]),
    tool("types, of the tests too (tsc)", "typescript/bin/tsc", ["-p", "tsconfig.all.json", "--noEmit"]),
    tool("import rules (dependency-cruiser)", "dependency-cruiser/bin/dependency-cruise.mjs", [
      "--config",
      ".dependency-cruiser.cjs",
      "src",
    ]),
    { title: "build", work: async () => asCount(await buildWhenNeeded()) },
    jest("unit, property, simulation, golden and official clients' tests (jest)", [
      "--passWithNoTests",
      ...FAST_TESTS,
      ...jestArgs,
    ]),
  ];
}

function serverSteps(jestArgs) {
  return [
    jest("contract, integration and end-to-end tests on real servers (jest)", [
      "--config",
      "jest.servers.config.mjs",
      "--passWithNoTests",
      ...jestArgs,
    ]),
  ];
}

/** Runs the steps of `check` or `test`, and lists what ran for `faults`. */
function runTests(steps) {
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(TEST_LIST, "");
  return runSteps(steps);
}

/** The table of faults from that list: rows whose tests need servers count only behind `npm test`. */
function tellFaults(args) {
  if (existsSync(TEST_LIST)) return run(process.execPath, [FAULT_TABLE, TEST_LIST, "--out", REPORTS, ...args]);
  say("no list of tests: run `npm test` first");
  return 1;
}

const COMMANDS = {
  demo: (args) => runMain(["demo", ...args]),
  bench: (args) => runMain(["bench", ...args]),
  load: (args) => runMain(["load", ...args]),
  sluice: (args) => runMain(args),
  chaos: (args) => runBuilt(CHAOS, args),
  matrix: (args) => runBuilt(MATRIX, args),
  check: (args) => runTests(checkSteps(args)),
  test: (args) => runTests([...checkSteps(args), ...serverSteps(args)]),
  fuzz: (args) => run(process.execPath, ["--expose-gc", FUZZ, ...args]),
  faults: (args) => tellFaults(args),
  simulate: (args) => run(process.execPath, [SIMULATE, ...args]), // on the sources, so it needs no build
  planted: (args) => runBuilt(PLANTED, args),
};

function passSignalsOn() {
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => {
      interrupted = signal;
      // Ctrl-C in a terminal reaches the child by itself; a second one would make it hurry.
      if (signal !== "SIGINT" || !process.stdin.isTTY) current?.kill(signal);
    });
  }
}

requireNode();
const [name, ...args] = process.argv.slice(2);
const command = Object.hasOwn(COMMANDS, name ?? "") ? COMMANDS[name] : null;
if (command === null) {
  say(`usage: node deploy/prepare.mjs ${Object.keys(COMMANDS).join("|")} [arguments]`);
  process.exit(2);
}
passSignalsOn();
await installWhenNeeded();
process.exitCode = await command(args);
