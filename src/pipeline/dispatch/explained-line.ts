import { withComparison } from "../../domain/route/route-decision.js";
import type { LinePlan } from "../batch/line-planner.js";
import type { RouteChoice } from "./route-chooser.js";

/**
 * A plan with why its route was chosen. A batch may have been made by another route than the one that was chosen for a call: then only the
 * batch's own reasons are true. @param leftMs until the first deadline.
 */
export function explainedLine<Plan extends LinePlan>(line: Plan, chosen: RouteChoice, leftMs: number): Plan {
  if (line.kind === "refused" || chosen.kind !== "route" || chosen.routes === undefined) return line;
  if (line.kind === "pool")
    return line.pooled.line.routeIndex === chosen.index
      ? { ...line, decision: { ...line.decision, routes: chosen.routes } }
      : line;
  const decision = withComparison(line.decision, chosen.routes, chosen.route, leftMs);
  return decision === undefined ? line : { ...line, decision };
}
