import { statSync } from "node:fs";

/** Folder and name of those that take a minute and more, the longest first. Begun last, one would run alone for minutes; a clean checkout knows no times. */
export const LONGEST = [
  "property/rate-limits.test.ts",
  "integration/rows-batch-kill.test.ts",
  "integration/rows-batch-answers.test.ts",
  "integration/rows-batch.test.ts",
  "integration/rows-batch-kinds.test.ts",
  "contract/postgres-ledger.test.ts",
  "integration/rows-kill.test.ts",
  "integration/rows-postgres.test.ts",
  "integration/rows-adopt.test.ts",
  "integration/rows-crash.test.ts",
  "integration/stack-own-servers.test.ts",
  "integration/rows-topics.test.ts",
  "integration/rows-undeliverable.test.ts",
  "integration/rows-redis.test.ts",
  "integration/planted-on-servers.test.ts",
  "integration/demo-planted-error.test.ts",
];

/** The order in which Jest begins the files of tests: the longest, then the largest. */
export default class LongestFirst {
  sort(tests) {
    const rank = new Map(tests.map(({ path }) => [path, rankOf(path)]));
    return [...tests].sort((one, other) => rank.get(one.path) - rank.get(other.path));
  }

  allFailedTests(tests) {
    return this.sort(tests);
  }

  cacheResults() {
    // The order is by names and sizes alone, the same on every machine.
  }

  shard(tests, { shardIndex, shardCount }) {
    return this.sort(tests).filter((_test, no) => no % shardCount === shardIndex - 1);
  }
}

/** More bytes than any file of tests has. */
const AHEAD = 2 ** 40;

function rankOf(path) {
  const place = LONGEST.findIndex((name) => path.endsWith(`/${name}`));
  return place < 0 ? -statSync(path).size : place - AHEAD;
}
