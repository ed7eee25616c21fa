import type { Scenario } from "./scenario.js";

const LISTS = ["publications", "kills", "freezes", "terms", "clockJumps", "replays", "budgets", "storms"] as const;
type List = (typeof LISTS)[number];
const TROUBLES = [
  "cutLedger",
  "providerTrouble",
  "brokerTrouble",
  "consumerAhead",
  "registryTrouble",
  "journalLoss",
  "batchTrouble",
  "remade",
  "loss",
] as const;
type Trouble = (typeof TROUBLES)[number];

/** What is left of a seed's scenario: of each list these places, all when it is not named; and none of these troubles. */
export type Kept = Readonly<Partial<Record<List, readonly number[]>>> & {
  readonly routers?: number;
  readonly without?: readonly Trouble[];
};

export function cutDown(scenario: Scenario, kept: Kept): Scenario {
  const without = new Set(kept.without);
  const of = <Item>(list: List, items: readonly Item[]): readonly Item[] => {
    const places = kept[list];
    return places === undefined ? items : items.filter((_item, place) => places.includes(place));
  };
  const { batches } = scenario;
  return {
    ...scenario,
    routers: kept.routers ?? scenario.routers,
    publications: of("publications", scenario.publications),
    kills: of("kills", scenario.kills),
    freezes: of("freezes", scenario.freezes),
    terms: of("terms", scenario.terms),
    clockJumps: of("clockJumps", scenario.clockJumps),
    replays: of("replays", scenario.replays),
    budgets: of("budgets", scenario.budgets),
    storms: of("storms", scenario.storms),
    cutLedger: without.has("cutLedger") ? 0 : scenario.cutLedger,
    providerTrouble: without.has("providerTrouble") ? 0 : scenario.providerTrouble,
    brokerTrouble: without.has("brokerTrouble") ? 0 : scenario.brokerTrouble,
    consumerAhead: without.has("consumerAhead") ? 0 : scenario.consumerAhead,
    registryTrouble: without.has("registryTrouble") ? 0 : scenario.registryTrouble,
    journalLoss: without.has("journalLoss") ? 0 : scenario.journalLoss,
    remadeAtMs: without.has("remade") ? null : scenario.remadeAtMs,
    lossAtMs: without.has("loss") ? null : scenario.lossAtMs,
    batches: batches !== null && without.has("batchTrouble") ? { ...batches, trouble: 0 } : batches,
  };
}

/**
 * Cuts a scenario down to what still fails: troubles one after another, then of each list halves, quarters and single items, again and
 * again until nothing more can go or `runsMax` is used up. What is cut changes the rest of the draws too, so the end is small, not smallest.
 * @param fails whether the same violation shows with what is kept.
 */
export async function minimise(
  scenario: Scenario,
  fails: (kept: Kept) => Promise<boolean>,
  runsMax: number,
): Promise<Kept> {
  let kept: Kept = {};
  let runs = 0;
  let shrank = true;
  const tryOut = async (smaller: Kept): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs += 1;
    if (!(await fails(smaller))) return false;
    kept = smaller;
    shrank = true;
    return true;
  };
  while (shrank && runs < runsMax) {
    shrank = false;
    // Serial throughout: each cut begins with what the last one left.
    for (const trouble of TROUBLES)
      if (kept.without?.includes(trouble) !== true && hasTrouble(cutDown(scenario, kept), trouble))
        await tryOut({ ...kept, without: [...(kept.without ?? []), trouble] });
    while (
      cutDown(scenario, kept).routers > 1 &&
      (await tryOut({ ...kept, routers: cutDown(scenario, kept).routers - 1 }))
    );
    for (const list of LISTS) await shorten(list, scenario, () => kept, tryOut);
  }
  return kept;
}

async function shorten(
  list: List,
  scenario: Scenario,
  kept: () => Kept,
  tryOut: (smaller: Kept) => Promise<boolean>,
): Promise<void> {
  const places = (): readonly number[] => kept()[list] ?? scenario[list].map((_item, place) => place);
  for (let size = places().length; size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < places().length;) {
      const now = places();
      const left = [...now.slice(0, from), ...now.slice(from + size)];
      // Serial: as above.
      if (!(await tryOut({ ...kept(), [list]: left }))) from += size;
    }
  }
}

function hasTrouble(scenario: Scenario, trouble: Trouble): boolean {
  if (trouble === "batchTrouble") return (scenario.batches?.trouble ?? 0) > 0;
  if (trouble === "remade") return scenario.remadeAtMs !== null;
  if (trouble === "loss") return scenario.lossAtMs !== null;
  return scenario[trouble] > 0;
}
