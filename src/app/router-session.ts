import { join } from "node:path";
import type { Kafka } from "kafkajs";
import type { AccountConfig, Config } from "../config/config.js";
import { ownReplyTopics } from "../config/topic-list.js";
import type { ValueEncoders } from "../domain/result/rendering.js";
import type { SessionNo } from "../domain/ids.js";
import type { Clock, Log } from "../ports/system.js";
import { NO_JOURNAL, type Journal } from "../ports/journal.js";
import type { ReachPoint } from "../ports/crash-points.js";
import type { JobsConsumer } from "../ports/broker.js";
import type { Ledger } from "../ports/ledger.js";
import type { ValueDecoder } from "../ports/value-decoder.js";
import { scopesOf } from "../domain/limit/limits.js";
import type { LimitStore } from "../ports/limit-store.js";
import { RedisLimitStore } from "../adapters/redis/redis-limit-store.js";
import type { RateLimitReading } from "../adapters/providers/rate-limit-reading.js";
import { LimitEars } from "./limit-ears.js";
import { groupConcurrency } from "../domain/batch/group-rules.js";
import type { BatchProvider } from "../ports/batch-provider.js";
import type { Metrics } from "../ports/metrics.js";
import type { Webhook } from "../ports/webhook.js";
import type { Provider } from "../ports/provider.js";
import type { BatchAccountSettings } from "../pipeline/batch/batch-settings.js";
import { FileJournal } from "../adapters/journal/file-journal.js";
import { InboxConsumer } from "../adapters/kafka/inbox-consumer.js";
import { RecordPublisher } from "../adapters/kafka/record-publisher.js";
import type { ClusterFacts } from "../adapters/kafka/cluster-facts.js";
import { isConnectionTrouble, type Pools } from "../adapters/postgres/connection.js";
import { LedgerContext } from "../adapters/postgres/ledger-context.js";
import { PostgresAlerts } from "../adapters/postgres/alert/postgres-alerts.js";
import { PostgresLedger } from "../adapters/postgres/postgres-ledger.js";
import { SpentAccounts } from "../pipeline/budget/spent-accounts.js";
import { createSchemaCheck } from "../adapters/json-schema/check-schema.js";
import { openBatchProvider, openProvider } from "../adapters/providers/registry.js";
import { openWebhook } from "../adapters/webhook/signed-webhook.js";
import { systemClock } from "../adapters/system/system-clock.js";
import { systemRandom } from "../adapters/system/system-random.js";
import { lazyTokenizer } from "../adapters/tokenizer/lazy-tokenizer.js";
import { LearnedTokenEstimates } from "../adapters/tokenizer/token-estimates.js";
import { buildAdmission, buildCatalog, buildLedgerSettings, buildRenderSettings } from "./build-domain.js";
import { buildRouting } from "./build-routing.js";
import type { PartitionAlerts } from "./partition-alerts.js";
import { Session } from "./session/session.js";
import type { ConsumerEars, SessionParts, SessionSettings } from "./session/session-parts.js";

export interface SessionOptions {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly pools: Pools;
  readonly kafka: Kafka;
  readonly cluster: ClusterFacts;
  readonly name: string;
  /** By the database's time. */
  readonly clock: Clock;
  readonly decoder: ValueDecoder | null;
  /** Of the process, beyond one session. */
  readonly alerts: PartitionAlerts;
  readonly encoders: ValueEncoders;
  /** For tests of kills, see `armCrashPoint`. */
  readonly reach: ReachPoint;
}

/** By account. */
interface OpenProviders {
  readonly direct: ReadonlyMap<string, Provider>;
  readonly batch: ReadonlyMap<string, BatchProvider>;
}

/** A session on the adapters that the config names: they are opened for it and closed with it. */
export class RouterSession {
  readonly #options: SessionOptions;
  readonly #session: Session;
  readonly #publisher: RecordPublisher;
  readonly #providers: OpenProviders;
  readonly #webhook: Webhook | null;
  readonly #limitStore: LimitStore | null;

  static async open(options: SessionOptions): Promise<RouterSession> {
    const { config, kafka, clock, reach } = options;
    const nowMs = (): number => clock.nowMs();
    const publisher = new RecordPublisher(kafka, { sendTimeoutMs: config.kafka.sendTimeoutMs, nowMs, reach });
    const limitEars = new LimitEars();
    const providers = {
      direct: await openProviders(config, limitEars, nowMs),
      batch: await openBatchProviders(config, nowMs),
    };
    const limitStore = await openLimitStore(options);
    const webhook = openAlertWebhook(config.alerts, nowMs);
    const parts = partsOf(options, publisher, providers, { limitStore, limitEars, webhook });
    const session = await Session.open(parts, options.name);
    return new RouterSession(options, session, publisher, providers, { limitStore, webhook });
  }

  private constructor(
    options: SessionOptions,
    session: Session,
    publisher: RecordPublisher,
    providers: OpenProviders,
    { limitStore, webhook }: { readonly limitStore: LimitStore | null; readonly webhook: Webhook | null },
  ) {
    this.#limitStore = limitStore;
    this.#webhook = webhook;
    this.#options = options;
    this.#session = session;
    this.#publisher = publisher;
    this.#providers = providers;
  }

  /** Runs until the signal or until the session is declared dead, then drains. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#session.run(signal);
    await this.#publisher.close().catch(() => undefined);
    await this.#limitStore?.close();
    const { direct, batch } = this.#providers;
    await Promise.all([...direct.values(), ...batch.values()].map((provider) => provider.close()));
    await this.#webhook?.close();
    this.#options.log.info("session.ended", { session: this.#session.no });
  }
}

function partsOf(
  options: SessionOptions,
  publisher: RecordPublisher,
  providers: OpenProviders,
  opened: {
    readonly limitStore: LimitStore | null;
    readonly limitEars: LimitEars;
    readonly webhook: Webhook | null;
  },
): SessionParts {
  const { config, pools, cluster, encoders, log, metrics, alerts, clock, reach } = options;
  const spending = new SpentAccounts();
  const ledgerSettings = { ...buildLedgerSettings(config), seenBudget: spending.seen };
  const context = new LedgerContext(pools, cluster.id, () => clock.nowMs(), ledgerSettings, reach);
  const ledger = new PostgresLedger(context, Object.keys(config.tenants));
  return {
    ports: {
      ledger,
      mendable: isConnectionTrouble,
      rehearse: (session, render) => ledger.rehearse(session, render, clock.nowMs()),
      noteStop: (session, stopped) => ledger.noteStop(session, stopped, clock.nowMs()),
      openConsumer: (ears) => openConsumer(options, ledger, ears),
      openJournal: (session) => openJournal(options, ledger, session),
      offsets: (topic, partition) => cluster.offsets(topic, partition),
      publisher,
      spending,
      providers: providers.direct,
      batchProviders: providers.batch,
      tokenEstimates: new LearnedTokenEstimates(lazyTokenizer()),
      limitStore: opened.limitStore,
      limitEars: opened.limitEars,
      checkSchema: createSchemaCheck(config.limits.answerSchemas, (because) => {
        log.warn("expect.schema_unusable", { because });
        metrics.count("sluice_schemas_unusable_total", { because });
      }),
      clock,
      wallMs: () => systemClock.nowMs(),
      random: systemRandom,
      log,
      metrics,
      alerts,
      reach,
    },
    rules: {
      admission: buildAdmission(config, cluster.id),
      catalog: buildCatalog(config),
      routing: buildRouting(config),
      renderSettings: buildRenderSettings(config, cluster.id, encoders),
    },
    settings: settingsOf(config),
    ...alertingOf(config, context, opened.webhook),
  };
}

function alertingOf(
  { alerts }: Config,
  context: LedgerContext,
  webhook: Webhook | null,
): Pick<SessionParts, "alerting"> {
  const { enabled, webhook: settings, ...rules } = alerts;
  if (!enabled) return {};
  return {
    alerting: {
      ledger: new PostgresAlerts(context),
      settings: rules,
      webhook:
        settings === null || webhook === null ? null : { webhook, limits: settings, timeoutMs: settings.timeoutMs },
    },
  };
}

function openAlertWebhook({ enabled, webhook }: Config["alerts"], nowMs: () => number): Webhook | null {
  if (!enabled || webhook === null) return null;
  const { url, secret, timeoutMs } = webhook;
  return openWebhook({ url, secret, timeoutMs, nowMs });
}

function settingsOf(config: Config): SessionSettings {
  const { limits, delivery, kafka, topics } = config;
  return {
    beats: config.postgres.session,
    accounts: new Map(
      Object.entries(config.providers).map(([name, account]) => {
        const { callTimeoutMs, connectTimeoutMs, inDoubt } = account;
        const { limits } = account;
        const { concurrency } = limits;
        return [name, { concurrency, limits, callTimeoutMs, connectTimeoutMs, inDoubt, batch: batchSettings(account) }];
      }),
    ),
    batching: config.batching,
    rescue: rescueSettings(config),
    health: config.health,
    watchesSpending: Object.values(config.providers).some(
      ({ dailySpendNanoUsd, committed }) => dailySpendNanoUsd !== null || committed !== null,
    ),
    delivery,
    groups: limits.groups,
    pending: limits.pending,
    relay: { ...limits.relay, replyTopics: new Set(ownReplyTopics(config)) },
    resultBytesMax: config.results.valueBytesMax,
    watchdogMs: kafka.watchdogMs,
    shutdownGraceMs: config.shutdown.graceMs,
    jobsTopics: topics.jobs.map(({ name }) => name),
  };
}

function rescueSettings({ models, batching }: Config): SessionSettings["rescue"] {
  const allowed = Object.entries(models).flatMap(([name, { rescueMaxNanoUsd }]) =>
    rescueMaxNanoUsd === null ? [] : [[name, rescueMaxNanoUsd] as const],
  );
  const { rescueLookMs: lookEveryMs, callPriorMs } = batching;
  return { maxNanoUsd: new Map(allowed), lookEveryMs, callPriorMs };
}

function batchSettings({ batch, inDoubt, limits }: AccountConfig): BatchAccountSettings | null {
  if (batch === null) return null;
  const { way, linesMax, bytesMax, enqueuedTokensMax, openBatchesMax, flushAfterMs } = batch;
  const { createGraceMs } = inDoubt;
  const concurrency = batch.concurrency ?? groupConcurrency(limits.concurrency);
  return { way, linesMax, bytesMax, enqueuedTokensMax, openBatchesMax, flushAfterMs, createGraceMs, concurrency };
}

function openConsumer(options: SessionOptions, ledger: Ledger, { session, sink, alert }: ConsumerEars): JobsConsumer {
  const { config, kafka, cluster, decoder, clock, log, reach } = options;
  return new InboxConsumer({
    kafka,
    settings: {
      groupId: config.kafka.groupId,
      topics: config.topics.jobs.map(({ name }) => name),
      sessionTimeoutMs: config.kafka.sessionTimeoutMs,
      heartbeatMs: config.kafka.heartbeatMs,
      maxWaitMs: config.kafka.maxWaitMs,
      partitionsAtOnce: config.kafka.partitionsAtOnce,
      bytesMax: config.kafka.fetchBytesMax,
      bytesPerPartition: config.kafka.fetchBytesPerPartitionMax,
    },
    sink,
    position: (topic, partition) => ledger.position(topic, partition),
    openPosition: (topic, partition, next) => ledger.openPosition(topic, partition, next),
    turns: {
      session,
      begin: (topic, partition) => ledger.beginTurn(session, topic, partition),
      mark: (topic, partition) => ledger.mark(topic, partition),
      markRecords: (records) => ledger.markRecords(session, records),
    },
    offsets: (topic, partition) => cluster.offsets(topic, partition),
    decoder,
    clock,
    log,
    alert,
    reach,
  });
}

/** A router's name may hold what a file's may not. */
async function openJournal(
  { config, name, log }: SessionOptions,
  ledger: Ledger,
  session: SessionNo,
): Promise<Journal> {
  const { folder, bytesMax } = config.storage.journal;
  if (folder === null) return NO_JOURNAL;
  const stamp = await ledger.sessionStamp(session);
  return FileJournal.open({ folder: join(folder, encodeURIComponent(name)), session, stamp, bytesMax, log });
}

/** Redis is asked only where there is a rate limit to share. */
async function openLimitStore({ config, log }: SessionOptions): Promise<LimitStore | null> {
  const { url, timeoutMs } = config.redis;
  const isLimited = Object.entries(config.providers).some(([name, { limits }]) => scopesOf(name, limits).length > 0);
  if (url === null || !isLimited) return null;
  const store = new RedisLimitStore({
    ...{ url, timeoutMs, environment: config.environment },
    onTrouble: (message) => {
      log.debug("redis.trouble", { message });
    },
  });
  await store.connect();
  return store;
}

async function openProviders(
  config: Config,
  limitEars: LimitEars,
  nowMs: () => number,
): Promise<ReadonlyMap<string, Provider>> {
  const opened = Object.entries(config.providers).map(async ([account, settings]) => {
    const provider = await openProvider(settings.kind, {
      account,
      baseUrl: settings.baseUrl,
      apiKey: () => settings.apiKey,
      connectionsMax: settings.limits.concurrency,
      connectTimeoutMs: settings.connectTimeoutMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      responseBytesMax: settings.responseBytesMax,
      nowMs,
      ...(scopesOf(account, settings.limits).length === 0
        ? {}
        : {
            onRateLimits: (readings: readonly RateLimitReading[], model: string) => {
              limitEars.heard(account, model, readings);
            },
          }),
    });
    return [account, provider] as const;
  });
  return new Map(await Promise.all(opened));
}

/** Pages of a provider's list of batches hold a hundred of them, a few kilobytes each. */
const BATCH_ANSWER_BYTES_MAX = 16 * 1_048_576;

async function openBatchProviders(config: Config, nowMs: () => number): Promise<ReadonlyMap<string, BatchProvider>> {
  const { resultLineBytesMax, stepsAtOnce } = config.batching;
  const opened = Object.entries(config.providers).map(async ([account, settings]) => {
    if (settings.batch === null) return [];
    const provider = await openBatchProvider(settings.kind, {
      account,
      baseUrl: settings.baseUrl,
      apiKey: () => settings.apiKey,
      connectionsMax: stepsAtOnce,
      connectTimeoutMs: settings.connectTimeoutMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      answerBytesMax: BATCH_ANSWER_BYTES_MAX,
      resultLineBytesMax,
      nowMs,
    });
    // A kind without a batch API: its lines are called in groups.
    return provider === null ? [] : [[account, provider] as const];
  });
  return new Map((await Promise.all(opened)).flat());
}
