import kafkajs, { type Admin, type ITopicConfig, type KafkaConfig as ClientOptions, type SASLOptions } from "kafkajs";
import type { Clock } from "../../ports/system.js";
import { untilSettled } from "./until-settled.js";

// A CommonJS package: Node finds only some of its exports by name.
const { ConfigResourceTypes, Kafka, logLevel } = kafkajs;

/** How to reach the cluster; times in milliseconds. */
export interface KafkaConnection {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl: boolean;
  readonly sasl: {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
    readonly username: string;
    readonly password: string;
  } | null;
  readonly connectionTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** A topic that must exist. `replication` null: 3 where the cluster has three brokers, else as many as it has. */
export interface WantedTopic {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  readonly replication: number | null;
}

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replication: number;
  readonly minInsyncReplicas: number;
  readonly retentionMs: number;
}

/** A topic that exists with another setting. Only reported: changing it is the operator's decision. */
export interface TopicDifference {
  readonly topic: string;
  readonly setting: "partitions" | "replication" | "retention.ms" | "cleanup.policy" | "min.insync.replicas";
  readonly wanted: string;
  readonly found: string;
  /** What it means, in words. */
  readonly why: string;
}

export interface TopicPlan {
  readonly create: readonly NewTopic[];
  readonly existing: readonly string[];
  readonly differences: readonly TopicDifference[];
}

const REPLICATION = 3;
const LEADER_WAIT_MS = 15_000;
/** Topics of one request to the controller; a request of thousands takes longer than its timeout. */
const TOPICS_PER_REQUEST = 100;

/** Client options that all clients of the gateway share. kafkajs writes no log of its own: what matters reaches us as errors. */
export function clientOptions(connection: KafkaConnection): ClientOptions {
  return {
    brokers: [...connection.brokers],
    clientId: connection.clientId,
    ssl: connection.ssl,
    connectionTimeout: connection.connectionTimeoutMs,
    requestTimeout: connection.requestTimeoutMs,
    logLevel: logLevel.NOTHING,
    ...(connection.sasl === null ? {} : { sasl: saslOptions(connection.sasl) }),
  };
}

function saslOptions({ mechanism, username, password }: NonNullable<KafkaConnection["sasl"]>): SASLOptions {
  // One member a mechanism in kafkajs' types, so each is built by itself.
  switch (mechanism) {
    case "plain":
      return { mechanism, username, password };
    case "scram-sha-256":
      return { mechanism, username, password };
    case "scram-sha-512":
      return { mechanism, username, password };
  }
}

/** Runs `work` with a connected admin client and closes it. @throws KafkaJS errors when the cluster can't be reached. */
export async function withAdmin<Result>(
  connection: KafkaConnection,
  work: (admin: Admin) => Promise<Result>,
): Promise<Result> {
  const admin = new Kafka({ ...clientOptions(connection), retry: { retries: 3, initialRetryTime: 200 } }).admin();
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** The part of kafkajs' admin client that is used here. */
export type TopicAdmin = Pick<
  Admin,
  "describeCluster" | "listTopics" | "fetchTopicMetadata" | "describeConfigs" | "createTopics" | "fetchTopicOffsets"
>;

/** Compares the cluster with the wanted topics. Changes nothing. */
export async function planTopics(admin: TopicAdmin, wanted: readonly WantedTopic[]): Promise<TopicPlan> {
  const [{ brokers }, names] = await Promise.all([admin.describeCluster(), admin.listTopics()]);
  const found = new Set(names);
  const complete = wanted.map((topic) => completed(topic, brokers.length));
  const existing = complete.filter((topic) => found.has(topic.name));
  return {
    create: complete.filter((topic) => !found.has(topic.name)),
    existing: existing.map(({ name }) => name),
    differences: existing.length === 0 ? [] : await differencesOf(admin, existing),
  };
}

/**
 * Creates the topics of a plan and waits until they are served. Idempotent: a topic that somebody else created meanwhile is fine.
 * Never changes or deletes one.
 */
export async function applyTopics(admin: TopicAdmin, plan: TopicPlan, clock: Clock): Promise<void> {
  for (let start = 0; start < plan.create.length; start += TOPICS_PER_REQUEST) {
    // One request after the other: they all go to the one controller.
    await createTopics(
      admin,
      plan.create.slice(start, start + TOPICS_PER_REQUEST).map((topic) => ({
        topic: topic.name,
        numPartitions: topic.partitions,
        replicationFactor: topic.replication,
        configEntries: Object.entries(settingsOf(topic)).map(([name, value]) => ({ name, value })),
      })),
      clock,
    );
  }
}

/**
 * Creates topics and waits until a broker serves each partition. kafkajs waits for the metadata alone, which names the leader before that broker
 * knows: the first records to such a partition are refused, and a producer that repeats the request writes the other partitions' records twice.
 * A topic that exists is waited for too.
 */
export async function createTopics(
  admin: Pick<Admin, "createTopics" | "fetchTopicOffsets">,
  topics: ITopicConfig[],
  clock: Clock,
): Promise<void> {
  // A broker that has not heard of the new topic yet says that there is none, and kafkajs passes that on. Asked again it finds them there.
  await untilSettled(clock, () => admin.createTopics({ topics, waitForLeaders: true, timeout: LEADER_WAIT_MS }));
  const served = await Promise.allSettled(
    topics.map(({ topic }) => untilSettled(clock, () => requireLed(admin, topic))),
  );
  // All have ended before the first failure is told: questions that go on behind a closed client keep the process for a minute.
  for (const one of served) if (one.status === "rejected") throw one.reason;
}

/** kafkajs 2.2.4 falls over an answer without a partition, which a topic gives that no broker leads yet, as happens in a cluster of several. */
async function requireLed(admin: Pick<Admin, "fetchTopicOffsets">, topic: string): Promise<void> {
  try {
    await admin.fetchTopicOffsets(topic);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw Object.assign(new Error(`topic ${topic}: no broker leads a partition of it yet`, { cause: error }), {
      retriable: true,
    });
  }
}

function completed(topic: WantedTopic, brokers: number): NewTopic {
  const replication = topic.replication ?? Math.max(1, Math.min(REPLICATION, brokers));
  const { name, partitions, retentionMs } = topic;
  return { name, partitions, retentionMs, replication, minInsyncReplicas: replication >= REPLICATION ? 2 : 1 };
}

function settingsOf(topic: NewTopic) {
  return {
    "cleanup.policy": "delete",
    "retention.ms": String(topic.retentionMs),
    "min.insync.replicas": String(topic.minInsyncReplicas),
  } as const;
}

const MEANING = {
  partitions: "more partitions move keys to others, so add them by hand and only on purpose",
  replication: "a broker's loss may lose records; reassign the partitions",
  "retention.ms": "change it with the cluster's own tools, or the config",
  "cleanup.policy": "compaction drops records that nobody has read yet; set it to delete",
  "min.insync.replicas": "an acknowledged record may exist once only; change it with the cluster's own tools",
} as const satisfies Record<TopicDifference["setting"], string>;

async function differencesOf(admin: TopicAdmin, topics: readonly NewTopic[]): Promise<readonly TopicDifference[]> {
  const [metadata, configs] = await Promise.all([
    admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) }),
    admin.describeConfigs({
      includeSynonyms: false,
      resources: topics.map(({ name }) => ({
        type: ConfigResourceTypes.TOPIC,
        name,
        configNames: ["cleanup.policy", "retention.ms", "min.insync.replicas"],
      })),
    }),
  ]);
  return topics.flatMap((topic) => {
    const partitions = metadata.topics.find(({ name }) => name === topic.name)?.partitions ?? [];
    const entries = configs.resources.find(({ resourceName }) => resourceName === topic.name)?.configEntries ?? [];
    const settings = Object.entries(settingsOf(topic)) as readonly [keyof ReturnType<typeof settingsOf>, string][]; // keys of a closed literal
    return [
      ...difference(topic, "partitions", topic.partitions, partitions.length),
      ...difference(
        topic,
        "replication",
        topic.replication,
        Math.min(...partitions.map(({ replicas }) => replicas.length)),
      ),
      ...settings.flatMap(([name, wanted]) => {
        const found = entries.find(({ configName }) => configName === name)?.configValue;
        return found === undefined || found === wanted
          ? []
          : [{ topic: topic.name, setting: name, wanted, found, why: MEANING[name] }];
      }),
    ];
  });
}

function difference(
  topic: NewTopic,
  setting: "partitions" | "replication",
  wanted: number,
  found: number,
): readonly TopicDifference[] {
  return found === wanted
    ? []
    : [{ topic: topic.name, setting, wanted: String(wanted), found: String(found), why: MEANING[setting] }];
}
