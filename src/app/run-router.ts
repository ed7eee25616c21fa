import kafkajs from "kafkajs";
import { hostname } from "node:os";
import type { Config } from "../config/config.js";
import type { Log } from "../ports/system.js";
import { clientOptions } from "../adapters/kafka/topics.js";
import { createPools, type Pools } from "../adapters/postgres/connection.js";
import { missingMigrations } from "../adapters/postgres/migrate.js";
import { createMetrics, type PrometheusMetrics } from "../adapters/metrics/prometheus.js";
import { startHealthServer, type HealthServer } from "../adapters/http/health-server.js";
import { ClusterFacts } from "../adapters/kafka/cluster-facts.js";
import { readAnyBatch } from "../adapters/kafka/batch-decoding.js";
import { letIdleConnectionsRest } from "../adapters/kafka/idle-connections.js";
import { createAvroDecoder } from "../adapters/registry/avro-decoder.js";
import { createFindSchema } from "../adapters/registry/registry-client.js";
import { boundHeapGrowth } from "../adapters/system/heap-growth.js";
import { databaseNowMs } from "../adapters/postgres/database-now.js";
import { DatabaseClock } from "../adapters/system/database-clock.js";
import { systemClock } from "../adapters/system/system-clock.js";
import { NOT_ARMED, type ReachPoint } from "../ports/crash-points.js";
import type { ValueDecoder } from "../ports/value-decoder.js";
import { openEncoders } from "./open-encoders.js";
import { packageVersion } from "./package-version.js";
import { PartitionAlerts } from "./partition-alerts.js";
import { RouterSession } from "./router-session.js";

const { Kafka } = kafkajs; // a CommonJS package: Node finds only some of its exports by name

export interface RouterOptions {
  readonly log: Log;
  /** Aborted to shut down: intake stops at once, then what is in the air drains. */
  readonly signal: AbortSignal;
  readonly name?: string;
  /** For tests of kills, see `armCrashPoint`. */
  readonly reach?: ReachPoint;
}

/**
 * Runs a router until the signal: sessions one after another, since a session that was declared dead while this process was paused can
 * decide nothing any more. @throws when the ledger's schema is not current, a schema of a topic in Avro is not registered, or a server
 * can't be reached at start.
 */
export async function runRouter(config: Config, options: RouterOptions): Promise<void> {
  const { log, signal, reach = NOT_ARMED } = options;
  boundHeapGrowth();
  if (config.auth.tenantFrom === "body")
    log.warn("auth.tenant_from_body", { note: "whoever can write to a jobs topic can name any tenant" });
  await requireSchema(config.postgres.url);
  reach("start.schema_checked");
  const encoders = await openEncoders(config);
  const metrics = createMetrics({ processMetrics: true });
  metrics.set("sluice_build_info", { version: packageVersion() }, 1);
  const pools = createPools(config.postgres, log);
  readAnyBatch(config.kafka.inflatedBytesMax);
  letIdleConnectionsRest();
  const kafka = new Kafka(clientOptions(config.kafka));
  const cluster = new ClusterFacts(kafka);
  const decoder = openDecoder(config);
  const alerts = new PartitionAlerts();
  const clock = new DatabaseClock(systemClock, () => databaseNowMs(pools.durable));
  let health: HealthServer | null = null;
  let session: RouterSession | null = null;
  try {
    await cluster.connect();
    await reportDurability(pools, log);
    await clock.measure();
    void clock.keepMeasuring(config.postgres.session.beatMs, signal);
    health = await openHealth(config, metrics, pools, cluster, () => session !== null, signal);
    log.info("router.listening", { url: health.url });
    reach("start.listening");
    while (!signal.aborted) {
      session = await RouterSession.open({
        config,
        log,
        metrics,
        pools,
        kafka,
        cluster,
        decoder,
        alerts,
        encoders,
        name: options.name ?? hostname(),
        clock,
        reach,
      });
      await session.run(signal);
    }
  } finally {
    await health?.close();
    await cluster.close();
    await pools.close();
  }
}

function openDecoder(config: Config): ValueDecoder | null {
  const { url, username, password, timeoutMs, negativeCacheMs } = config.registry;
  if (url === null) return null;
  return createAvroDecoder(
    { valueBytesMax: config.limits.intake.valueBytesMax, negativeCacheMs },
    createFindSchema({ url, username, password, timeoutMs }),
    systemClock,
  );
}

async function requireSchema(databaseUrl: string): Promise<void> {
  const missing = await missingMigrations(databaseUrl);
  if (missing > 0) throw new Error(`the ledger lacks ${String(missing)} migration(s); run: sluice migrate`);
}

/** What a COMMIT means on this server, said once at start. */
async function reportDurability(pools: Pools, log: Log): Promise<void> {
  const found = await pools.durable.query<{ fsync: string; commit: string; standbys: string }>(
    "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit, current_setting('synchronous_standby_names') AS standbys",
  );
  const facts = found.rows[0];
  log.info("postgres.durability", {
    fsync: facts?.fsync,
    synchronousCommit: facts?.commit,
    standbys: facts?.standbys === "" ? "none" : facts?.standbys,
  });
  if (facts?.fsync !== "on")
    log.error("postgres.fsync_off", { note: "a crash of the database machine loses accepted jobs" });
}

function openHealth(
  config: Config,
  metrics: PrometheusMetrics,
  pools: Pools,
  cluster: ClusterFacts,
  started: () => boolean,
  signal: AbortSignal,
): Promise<HealthServer> {
  return startHealthServer({
    host: config.http.host,
    port: config.http.port,
    started,
    draining: () => signal.aborted,
    metrics: { text: () => metrics.text(), contentType: metrics.contentType },
    checks: {
      postgres: async () => {
        await pools.durable.query("SELECT 1");
        return null;
      },
      schema: async () => {
        const missing = await missingMigrations(config.postgres.url);
        return missing === 0 ? null : `${String(missing)} migration(s) missing; run: sluice migrate`;
      },
      kafka: () => cluster.problem(config.topics.jobs.map((topic) => topic.name)),
    },
  });
}
