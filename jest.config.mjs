// Native ESM: most of our libraries are ESM only, so tests run as modules and swc only strips types.
export default {
  testEnvironment: "node",
  extensionsToTreatAsEsm: [".ts"],
  moduleNameMapper: { "^(\\.{1,2}/.*)\\.js$": "$1" },
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { target: "es2022", parser: { syntax: "typescript" } }, module: { type: "es6" } },
    ],
  },
  roots: ["<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  // Jest would leave one processor to itself; most of these tests wait for processes of their own.
  maxWorkers: "100%",
  // Modules of a file of tests stay in memory when it has ended, 6 MB each. At 1.5 GB a simulation takes ten times as long as in a new worker.
  workerIdleMemoryLimit: "400MB",
  testSequencer: "<rootDir>/test/support/longest-first.mjs",
  // On a busy machine a wait for an event may take seconds, and the event ends it early.
  testTimeout: 60_000,
  reporters: ["default", "<rootDir>/test/support/count-reporter.mjs"],
};
