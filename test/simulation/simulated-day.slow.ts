/**
 * A day of three provider accounts on the simulated clock: one is down for an hour, one turns slow for an hour, one takes half of what it
 * says. Some minutes of CPU, so beside CI: `NODE_OPTIONS=--experimental-vm-modules npx jest --testMatch '**\/simulated-day.slow.ts'`.
 */
import { expect, test } from "@jest/globals";
import { providerDay, type DayWish } from "../support/simulation/provider-day.js";

const SEED = Number(process.env["SLUICE_FIRST_SEED"] ?? 1);
const HOUR_MS = 3_600_000;
const PER_HOUR = { alpha: 4200, beta: 600, gamma: 900 } as const;
/** It says that it takes 20 calls a minute; 15 a minute ask it first, and it takes 10. */
const HALF_OF_STATED = 10;

const DAY: DayWish = {
  seed: SEED,
  lengthMs: 24 * HOUR_MS,
  routers: 2,
  perHour: PER_HOUR,
  troubles: [
    { account: "alpha", fromMs: 2 * HOUR_MS, toMs: 3 * HOUR_MS, kind: "down" },
    { account: "beta", fromMs: 6 * HOUR_MS, toMs: 7 * HOUR_MS, kind: "slow" },
    { account: "gamma", fromMs: 10 * HOUR_MS, toMs: 11 * HOUR_MS, kind: "limits", perMinute: HALF_OF_STATED },
  ],
  // The least is more than two of the slowest answers take.
  ttlMs: { min: 90_000, max: HOUR_MS },
};

test("a day of troubles costs hardly a job a second extra attempt, none its deadline, and the dead provider hardly a call", async () => {
  const day = await providerDay(DAY);
  const moreThanOne = [...day.attempts].filter(([attempts]) => attempts > 2).reduce((sum, [, jobs]) => sum + jobs, 0);
  const line = {
    seed: SEED,
    jobs: day.jobs,
    moreThanOneExtraAttemptShare: moreThanOne / day.jobs,
    // At any time some account answers within seconds to whoever asks, so an oracle misses none.
    missedThatAnOracleMeets: day.missed.length,
    missed: day.missed.slice(0, 20),
    callsToDeadShare: (day.callsInTrouble[0] ?? 0) / PER_HOUR.alpha,
    callsToDead: day.callsInTrouble[0],
    callsInTheHourAfter: day.callsAfterTrouble[0],
    rateLimited: day.rateLimited,
    attempts: Object.fromEntries(day.attempts),
    breakers: day.breakers,
    events: day.events,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  expect(day.drained).toBe(true);
  expect(line.moreThanOneExtraAttemptShare).toBeLessThanOrEqual(0.01);
  expect(line.missedThatAnOracleMeets).toBe(0);
  expect(line.callsToDeadShare).toBeLessThan(0.01);
}, 3_600_000);
