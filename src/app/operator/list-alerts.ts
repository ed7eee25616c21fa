import { readAlerts } from "../../adapters/postgres/alert/alert-rows.js";
import type { Alert } from "../../domain/alert/alert.js";
import type { Operator } from "./open-operator.js";

/** Alerts that are raised, and with `all` also those that recovered within a day; those that are only on their way are left out. */
export async function listAlerts(operator: Operator, all: boolean): Promise<readonly Alert[]> {
  const known = await readAlerts(operator.pools.durable);
  return known.filter(({ state, wasRaised }) => state === "raised" || (all && wasRaised));
}
