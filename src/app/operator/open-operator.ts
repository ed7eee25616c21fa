import { hostname, userInfo } from "node:os";
import type { Config } from "../../config/config.js";
import { createRenderer } from "../../domain/result/render.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import { NOT_ARMED, type ReachPoint } from "../../ports/crash-points.js";
import type { SessionNo } from "../../domain/ids.js";
import { createPools, type Pools } from "../../adapters/postgres/connection.js";
import { databaseNowMs } from "../../adapters/postgres/database-now.js";
import { LedgerContext } from "../../adapters/postgres/ledger-context.js";
import { missingMigrations } from "../../adapters/postgres/migrate.js";
import { openOperatorSession } from "../../adapters/postgres/operator/operator-session.js";
import { PostgresLedger } from "../../adapters/postgres/postgres-ledger.js";
import { DatabaseClock } from "../../adapters/system/database-clock.js";
import { systemClock } from "../../adapters/system/system-clock.js";
import type { Log } from "../../ports/system.js";
import { buildLedgerSettings, buildRenderSettings } from "../build-domain.js";
import { openEncoders } from "../open-encoders.js";

/** What an operator's command works with: the ledger without a router, a broker or a provider. */
export interface Operator {
  readonly config: Config;
  readonly pools: Pools;
  readonly context: LedgerContext;
  readonly ledger: PostgresLedger;
  /** Asks the registry for schemas when first used, if a topic is in Avro: most commands render nothing. */
  readonly render: () => Promise<Renderer>;
  /** Who asks, for the ledger's records. */
  readonly byWhom: string;
  /** By the database's clock, as routers go. */
  readonly nowMs: () => number;
  /** The session that changes are written under; made when first asked for. */
  readonly session: () => Promise<SessionNo>;
}

/** A lost idle connection is told by the next statement; a command has no log of its own. */
const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const CONNECTIONS_MAX = 4;

/**
 * Runs `work` with the ledger and closes it. @param reach for tests of kills.
 * @throws DependencyError when PostgreSQL can't be reached; Error when the ledger's schema is not current.
 */
export async function withOperator<Result>(
  config: Config,
  work: (operator: Operator) => Promise<Result>,
  reach: ReachPoint = NOT_ARMED,
): Promise<Result> {
  const missing = await missingMigrations(config.postgres.url);
  if (missing > 0) throw new Error(`the ledger lacks ${String(missing)} migration(s); run: sluice migrate`);
  const pools = createPools({ ...config.postgres, connectionsMax: CONNECTIONS_MAX }, SILENT);
  try {
    const clock = new DatabaseClock(systemClock, () => databaseNowMs(pools.durable));
    await clock.measure();
    return await work(operatorOf(config, pools, () => clock.nowMs(), reach));
  } finally {
    await pools.close();
  }
}

function operatorOf(config: Config, pools: Pools, nowMs: () => number, reach: ReachPoint): Operator {
  // No cluster: it names positions and ids of refused records, and a command writes neither.
  const context = new LedgerContext(pools, "", nowMs, buildLedgerSettings(config), reach);
  const ledger = new PostgresLedger(context, Object.keys(config.tenants));
  const byWhom = whoAsks();
  let session: Promise<SessionNo> | null = null;
  let render: Promise<Renderer> | null = null;
  return {
    config,
    pools,
    context,
    ledger,
    render: () => (render ??= openRenderer(config)),
    byWhom,
    nowMs,
    session: () => (session ??= openSession(ledger, context, byWhom)),
  };
}

async function openRenderer(config: Config): Promise<Renderer> {
  return createRenderer(buildRenderSettings(config, "", await openEncoders(config)));
}

async function openSession(ledger: PostgresLedger, context: LedgerContext, byWhom: string): Promise<SessionNo> {
  await ledger.prepareDays(); // with no router for two weeks there would be no table for today
  const session = await openOperatorSession(context, `operator ${byWhom}`);
  context.reach("operator.session_opened");
  return session;
}

function whoAsks(): string {
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `unknown@${hostname()}`; // a user without an entry in the system's list, as in some containers
  }
}
