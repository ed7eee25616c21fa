import { Redis } from "ioredis";
import { identifyProcess } from "../../stack/process-identity.js";
import type { RunningServer } from "../../stack/stack.js";
import type { Fault, FaultKind } from "../evidence/evidence.js";
import type { PlannedFault } from "../plan/fault-plan.js";
import { comesAbout, seen, unseen, withDefaults, type ChaosStage, type FaultEnd } from "./stage.js";

type Planned<Kind extends PlannedFault["kind"]> = Extract<PlannedFault, { kind: Kind }>;

const END_WAIT_MS = 3000;
const REDIS_TIMEOUT_MS = 2000;

export function killBroker(stage: ChaosStage, { broker, downMs }: Planned<"broker_kill">): Promise<FaultEnd> {
  return killServer(stage, stage.brokers[broker], "broker_kill", downMs);
}

export function killPostgres(
  stage: ChaosStage,
  { downMs }: Planned<"postgres_kill" | "redis_kill">,
): Promise<FaultEnd> {
  return killServer(stage, stage.postgres, "postgres_kill", downMs);
}

export function killRedis(stage: ChaosStage, { downMs }: Planned<"postgres_kill" | "redis_kill">): Promise<FaultEnd> {
  return killServer(stage, stage.redis, "redis_kill", downMs);
}

async function killServer(
  stage: ChaosStage,
  server: RunningServer | undefined,
  kind: FaultKind,
  downMs: number,
): Promise<FaultEnd> {
  const pid = server?.pid ?? null;
  if (server === undefined || pid === null) return unseen("the server is not ours, or did not run");
  const atMs = Date.now();
  let ended = false;
  try {
    await server.kill("SIGKILL");
    ended = await comesAbout(stage, END_WAIT_MS, () => identifyProcess(pid) === null);
    await stage.sleep(downMs);
  } finally {
    // Whatever becomes of the run: a server that is not there again would keep all that follows from ending.
    await server.restart();
  }
  if (!ended) return unseen("the server's process did not end");
  const facts: Fault = withDefaults({ kind, atMs, target: server.name, pid, signal: "SIGKILL", workInFlight: true });
  return { seen: [facts] };
}

export async function flushRedis(stage: ChaosStage): Promise<FaultEnd> {
  const client = new Redis(stage.redis.address, {
    lazyConnect: true,
    connectTimeout: REDIS_TIMEOUT_MS,
    commandTimeout: REDIS_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  client.on("error", () => undefined);
  const atMs = Date.now();
  try {
    await client.connect();
    const keys = await client.dbsize();
    await client.flushall();
    return seen({ kind: "redis_flush", atMs, target: "redis", detail: `${String(keys)} keys were there` });
  } catch (error) {
    return unseen(`Redis did not answer: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    client.disconnect();
  }
}
