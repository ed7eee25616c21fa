import { readFile } from "node:fs/promises";
import type { RouteExplanation } from "../../app/operator/explain-route.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { safeText } from "../display-text.js";
import { EXIT, type ExitCode } from "../exit-code.js";
import { refuseMissing } from "../missing-file.js";
import { comparisonLines } from "../route-text.js";

export const addRouteCommands: CommandGroup = (program, context) => {
  program
    .command("route")
    .description("how routes are chosen")
    .command("explain")
    .description(
      "which route the job in a file would take and why, by the config alone: nothing is sent, and what routers know of their providers is unknown here; exit 1 when it would be refused",
    )
    .argument("<file>", "a job, as JSON")
    .action(context.action((_flags: unknown, [file]) => explain(context, file ?? "")));
};

async function explain(context: CommandContext, file: string): Promise<ExitCode> {
  const config = context.config();
  const { explainRoute } = await import("../../app/operator/explain-route.js");
  const text = await readFile(file, "utf8").catch(refuseMissing(file));
  const found = explainRoute(config, text, Date.now());
  context.show(jsonOf(found), () => linesOf(found));
  return found.kind === "route" ? EXIT.done : EXIT.failed;
}

function jsonOf(found: RouteExplanation): Readonly<Record<string, unknown>> {
  if (found.kind === "refused") return { chosen: null, refused: { code: found.code, message: found.message } };
  const { kind: _kind, routes, policy, ...rest } = found;
  return { ...rest, chain: policy.chain, rules: policy.rules ?? [], allowed: policy.allowed ?? null, ...routes };
}

function linesOf(found: RouteExplanation): readonly string[] {
  if (found.kind === "refused") return [`refused  ${found.code}: ${safeText(found.message)}`];
  const { chosen, tenant, tier, policy, weights, routes } = found;
  const by =
    weights === null
      ? "in the written order"
      : `by score, chain ${policy.chain}: cost ${String(weights.cost)}, latency ${String(weights.latency)}, reliability ${String(weights.reliability)}`;
  return [
    `chosen   ${chosen}`,
    `job      ${safeText(policy.model)} for tenant ${tenant}, tier ${tier}; ${by}`,
    ...(policy.rules ?? []).map(({ rule, effect }) => `rule     ${rule}: ${effect.kind} ${effect.routes.join(", ")}`),
    ...comparisonLines(routes),
  ];
}
