import type { PlannedFault } from "../plan/fault-plan.js";
import { breakNetwork } from "./network-faults.js";
import { cancelJob, rebalance, replayTwice } from "./operator-faults.js";
import { troubleProvider } from "./provider-faults.js";
import { jumpClock, killRouter, restartRouter, stopRouter } from "./router-faults.js";
import { flushRedis, killBroker, killPostgres, killRedis } from "./server-faults.js";
import type { ChaosStage, FaultEnd } from "./stage.js";

/** Does a planned fault and undoes it. @returns once it is over. @throws Error when a server that was killed does not come back. */
export function carryOut(fault: PlannedFault, stage: ChaosStage): Promise<FaultEnd> {
  switch (fault.kind) {
    case "router_kill":
      return killRouter(stage, fault);
    case "router_stop":
      return stopRouter(stage, fault);
    case "router_restart":
      return restartRouter(stage, fault);
    case "clock_jump":
      return jumpClock(stage, fault);
    case "broker_kill":
      return killBroker(stage, fault);
    case "postgres_kill":
      return killPostgres(stage, fault);
    case "redis_kill":
      return killRedis(stage, fault);
    case "redis_flush":
      return flushRedis(stage);
    case "network":
      return breakNetwork(stage, fault);
    case "provider_fault":
      return troubleProvider(stage, fault);
    case "rebalance":
      return rebalance(stage, fault);
    case "replay":
      return replayTwice(stage);
    case "cancel":
      return cancelJob(stage);
  }
}
