import { readFile } from "node:fs/promises";
import type { RouteExplanation } from "../../app/operator/explain-route.js";
import type { LiveReadings } from "../../app/operator/live-conditions.js";
import type { Config } from "../../config/config.js";
import { seenWait } from "../../domain/execution/waits.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { isoOrNull, safeText, timeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { refuseMissing } from "../missing-file.js";
import { comparisonLines, rejectedLine } from "../route-text.js";
import { seenJson, seenLines } from "../seen-text.js";

export const addRouteCommands: CommandGroup = (program, context) => {
  program
    .command("route")
    .description("how routes are chosen")
    .command("explain")
    .description(
      "which route the job in a file would take and why, by the config alone: nothing is sent, and what routers know of their providers is unknown here; exit 1 when it would be refused",
    )
    .argument("<file>", "a job, as JSON")
    .option(
      "--live",
      "with what routers share right now: breakers and budgets of the ledger, rate limits of Redis; exit 4 when the ledger can't be reached, 6 when Redis can't",
    )
    .action(context.action((flags: ExplainFlags, [file]) => explain(context, file ?? "", flags.live === true)));
};

interface ExplainFlags {
  readonly live?: boolean;
}

async function explain(context: CommandContext, file: string, isLive: boolean): Promise<ExitCode> {
  const config = context.config();
  const { explainRoute } = await import("../../app/operator/explain-route.js");
  const text = await readFile(file, "utf8").catch(refuseMissing(file));
  const live = isLive ? await readNow(config) : null;
  // Asked when it was read, by the same clock.
  const found = explainRoute(config, text, live?.breakers.atMs ?? Date.now(), live);
  context.show(jsonOf(found), () => [...linesOf(found), ...seenLines(found.seen)]);
  if (found.kind === "refused") return EXIT.failed;
  return found.seen?.shared === "not_reached" ? EXIT.partly : EXIT.done;
}

async function readNow(config: Config): Promise<LiveReadings> {
  const [{ withOperator }, { readLive }] = await Promise.all([
    import("../../app/operator/open-operator.js"),
    import("../../app/operator/read-live.js"),
  ]);
  return withOperator(config, readLive);
}

function jsonOf(found: RouteExplanation): Readonly<Record<string, unknown>> {
  const seen = found.seen === undefined ? {} : { seen: seenJson(found.seen) };
  if (found.kind === "refused") return { chosen: null, refused: { code: found.code, message: found.message }, ...seen };
  const { tenant, tier, policy, order, weights } = found;
  const job = {
    tenant,
    tier,
    order,
    weights,
    chain: policy.chain,
    rules: policy.rules ?? [],
    allowed: policy.allowed ?? null,
  };
  if (found.kind === "wait") {
    const waits = { for: seenWait(found.waitsFor), until: isoOrNull(found.runAtMs), limit: null, turn: found.turn };
    return { chosen: null, waits, ...job, because: waitWords(found), rejected: found.rejected, ...seen };
  }
  const { chosen, waits, routes } = found;
  const waiting =
    waits === undefined
      ? {}
      : { waits: { for: seenWait(waits.waitsFor), until: isoOrNull(waits.runAtMs), limit: waits.limit, turn: chosen } };
  return { chosen, ...waiting, ...job, ...routes, ...seen };
}

function linesOf(found: RouteExplanation): readonly string[] {
  if (found.kind === "refused") return [`refused  ${found.code}: ${safeText(found.message)}`];
  const { tenant, tier, policy, weights } = found;
  const by =
    weights === null
      ? "in the written order"
      : `by score, chain ${policy.chain}: cost ${String(weights.cost)}, latency ${String(weights.latency)}, reliability ${String(weights.reliability)}`;
  const job = [
    `job      ${safeText(policy.model)} for tenant ${tenant}, tier ${tier}; ${by}`,
    ...(policy.rules ?? []).map(({ rule, effect }) => `rule     ${rule}: ${effect.kind} ${effect.routes.join(", ")}`),
  ];
  if (found.kind === "wait") return [`waits    ${waitWords(found)}`, ...job, ...found.rejected.map(rejectedLine)];
  const { chosen, waits, routes } = found;
  return [
    `chosen   ${chosen}`,
    ...(waits === undefined ? [] : [`waits    for ${waits.limit}, at least until ${timeText(waits.runAtMs)}`]),
    ...job,
    ...comparisonLines(routes),
  ];
}

/** What would become of a job that no route can be called for now. */
function waitWords({ waitsFor, runAtMs, turn, mode }: Extract<RouteExplanation, { readonly kind: "wait" }>): string {
  const why = `no route can be called now (${seenWait(waitsFor) ?? waitsFor})`;
  return mode === "batch"
    ? `${why}; it asks for a batch, and its line waits for one all the same, ${turn} first`
    : `${why}; it would be accepted, and looked at again at ${timeText(runAtMs)}, ${turn} first`;
}
