import type { Kept } from "../support/simulation/cut-down.js";
import type { ScenarioKind } from "../support/simulation/scenario.js";

/** A seed that showed a bug of the product, cut down to what shows it, and what it was. */
export interface PinnedSeed {
  readonly kind: ScenarioKind;
  readonly seed: number;
  readonly kept: Kept;
  readonly was: string;
}

/**
 * What `npm run simulate` prints for a failing seed goes here; it must hold for ever. The first ones are older than this table: each shows its
 * bug with the patch of test/planted that brings it back.
 */
export const PINNED_SEEDS: readonly PinnedSeed[] = [
  {
    kind: "grouped",
    seed: 5376,
    kept: {},
    was: "no_job_lost: a stopped partition was taken up where a late group of the topic before had moved its position, beyond the new log",
  },
  {
    kind: "mixed",
    seed: 1258,
    kept: {},
    was: "adopts_its_own: a batch whose builder was gone was sealed with the size of another that might yet turn up, which then was taken for it",
  },
  ...[1840, 1993].map((seed): PinnedSeed => ({
    kind: "stormy",
    seed,
    kept: {},
    was: "suspects_are_deadly: a router that came back to the ledger marked a record, was declared dead for the beats of before, and the record blamed",
  })),
  {
    kind: "direct",
    seed: 5348,
    kept: { without: ["providerTrouble", "registryTrouble", "journalLoss"], kills: [] },
    was: "no_repeat_lost: a record of a topic that was made anew lay below the old one's position and was taken for one accepted before",
  },
  {
    kind: "stormy",
    seed: 656,
    kept: { without: ["providerTrouble", "brokerTrouble", "registryTrouble"], kills: [] },
    was: "every_line_ends: a file that another router deleted behind its upload was waited for, for ever",
  },
  {
    kind: "direct",
    seed: 95,
    kept: {
      without: ["providerTrouble", "registryTrouble", "loss"],
      routers: 1,
      publications: [1, 4, 5, 6, 7, 9, 13, 14, 15],
      kills: [],
      freezes: [],
      replays: [],
    },
    was: "no_job_lost: after a refused move the consumer went back to the ledger's position on trust, in a topic that was made anew (rewind-on-trust)",
  },
  {
    kind: "mixed",
    seed: 2,
    kept: {
      without: ["providerTrouble", "brokerTrouble", "journalLoss"],
      publications: [6, 7, 8],
      kills: [0, 1],
    },
    was: "files_are_deleted: a file of an upload that was not answered stayed at the provider (earlier-uploads-left)",
  },
  {
    kind: "grouped",
    seed: 10_115,
    kept: {},
    was: "no_job_lost: the ledger's position changed between the seek that was to prove it and the look, and the record before it counted as looked at",
  },
  {
    kind: "grouped",
    seed: 9,
    kept: { without: ["registryTrouble"] },
    was: "ledger_equals_bill: results that were not there were forgotten when the read broke off behind them, and their lines booked as never run",
  },
  {
    kind: "grouped",
    seed: 31,
    kept: {},
    was: "tries_are_bounded: a line that turned up when it had been given up counted as one more try of those that followed it",
  },
  {
    kind: "stormy",
    seed: 109,
    kept: {},
    was: "doubt_is_bounded: a router that came back from an outage declared others dead that had not beaten yet",
  },
  {
    kind: "mixed",
    seed: 358,
    kept: {
      without: ["providerTrouble"],
      publications: [0, 1, 2, 3, 4, 10, 14, 15, 16, 17, 18, 19],
      kills: [],
      budgets: [0],
    },
    was: "no_job_lost: routers that died at a record and came back at once were taken for such that live, so that it ended each of them",
  },
  {
    kind: "stormy",
    seed: 975,
    kept: { kills: [0, 2] },
    was: "suspects_are_deadly: a router that had only lost the partition, and died of something else later, counted as one that died at the record",
  },
  {
    kind: "stormy",
    seed: 916,
    kept: {
      without: ["providerTrouble", "journalLoss", "cutLedger"],
      kills: [0],
      clockJumps: [],
      publications: [1, 8, 12, 13, 14, 15, 18],
    },
    was: "everything_drains: a late group of the topic before began where the position of the new, adopted one had come to, and moved it beyond the log",
  },
];
