import type { SeenLimit, SeenOfJob } from "../app/operator/live-conditions.js";
import { levelText, roomIn, type LevelStanding } from "../domain/budget/budget.js";
import type { StoredBreaker } from "../ports/health-store.js";
import { dollarsText, isoOrNull, safeText, spanText, timeText } from "./display-text.js";

/** What was seen of all that routers share, and when, for people. */
export function seenLines(seen: SeenOfJob | undefined): readonly string[] {
  if (seen === undefined) return [];
  const { breakers, budgets, limits } = seen;
  return [
    ...sourceLines("breakers", breakers.atMs, breakers.value.map(breakerText), "none of its candidates' is open"),
    ...sourceLines("budgets", budgets.atMs, budgets.value.map(budgetText), "none holds it"),
    ...sourceLines("limits", limits.atMs, limitTexts(seen), "none of its candidates has any"),
    "unknown  latency and error rates: each router keeps its own",
  ];
}

/** The same for programs. */
export function seenJson({ breakers, budgets, limits, shared, because }: SeenOfJob): Readonly<Record<string, unknown>> {
  return {
    breakers: {
      at: isoOrNull(breakers.atMs),
      notClosed: breakers.value.map(({ account, model, state, because: why, openMs, leftMs }) => ({
        ...{ account, model, state, because: why, openMs, leftMs },
      })),
    },
    budgets: { at: isoOrNull(budgets.atMs), standings: budgets.value.map(budgetJson) },
    limits: {
      at: isoOrNull(limits.atMs),
      ...{ shared, because },
      scopes: limits.value.map(({ name, waiting, limits: standings }) => ({
        ...{ name, waiting: waiting.rows, waitingSince: isoOrNull(waiting.sinceMs) },
        limits: standings.map(({ rule, state, holds, used }) => ({
          ...{ unit: rule.unit, window: rule.window, stated: rule.limit, holds, state, used },
        })),
      })),
    },
  };
}

function sourceLines(source: string, atMs: number, texts: readonly string[], nothing: string): readonly string[] {
  const found = texts.length === 0 ? [nothing] : texts;
  return found.map((text) => `seen     ${source} at ${timeText(atMs)}: ${text}`);
}

function breakerText({ account, model, state, because, openMs, leftMs }: StoredBreaker): string {
  const name = model === null ? `account ${account}` : `${account}/${safeText(model)}`;
  const next =
    state === "half_open" ? "a trial is out" : leftMs > 0 ? `tried again in ${spanText(leftMs)}` : "its trial is due";
  return `${name} open for ${spanText(openMs)}, since ${safeText(because)}; ${next}`;
}

function budgetText(standing: LevelStanding): string {
  const { budget, settledNanoUsd, reservedNanoUsd } = standing;
  const { level, window, limitNanoUsd, kind, stopsAtNanoUsd } = budget;
  const stops = stopsAtNanoUsd === undefined ? "" : `, left alone from ${dollarsText(stopsAtNanoUsd)}`;
  return `${safeText(levelText(level))}, ${window}: ${dollarsText(settledNanoUsd)} spent and ${dollarsText(reservedNanoUsd)} held of ${dollarsText(limitNanoUsd)}${kind === "soft" ? ", soft" : ""}${stops}`;
}

function budgetJson(standing: LevelStanding): Readonly<Record<string, unknown>> {
  const { budget, settledNanoUsd, reservedNanoUsd, untilMs } = standing;
  const { level, window, limitNanoUsd, kind, stopsAtNanoUsd } = budget;
  return {
    ...level,
    ...{ window, kind, limitNanoUsd, settledNanoUsd, reservedNanoUsd },
    leftNanoUsd: roomIn(budget, standing),
    stopsAtNanoUsd: stopsAtNanoUsd ?? null,
    until: isoOrNull(untilMs),
  };
}

function limitTexts({ limits, shared, because }: SeenOfJob): readonly string[] {
  const notRead =
    shared === "not_reached"
      ? `Redis can't be reached (${safeText(because ?? "")}), so what is used is not known`
      : "redis.url is not set: each router keeps its share, so what is used is not known";
  const hasLimits = limits.value.length > 0;
  return [...(hasLimits && shared !== "read" ? [notRead] : []), ...limits.value.flatMap(limitText)];
}

function limitText({ name, waiting, limits }: SeenLimit): readonly string[] {
  const known = limits.filter(({ holds }) => holds !== null);
  return [
    ...known.map(
      ({ rule, used, holds, state }) =>
        `${safeText(rule.key)}: ${String(used)} of ${String(holds)} used${state === "stated" ? "" : `, ${String(state)} from ${String(rule.limit)}`}`,
    ),
    ...(waiting.rows === 0 ? [] : [`${String(waiting.rows)} calls wait for ${safeText(name)}`]),
  ];
}
