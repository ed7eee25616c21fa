import { z } from "zod";
import {
  integer,
  optionalSection,
  section,
  text,
  toggle,
  word,
  GIB,
  KIB,
  MIB,
  MINUTE_MS,
  SECOND_MS,
  TOPIC_EXPECTED,
  TOPIC_NAME,
} from "./fields.js";

/** Config of what the gateway talks to: Kafka and its topics, the schema registry, Postgres, Redis; and of its own HTTP port. */

const HTTP_URL = /https?:\/\/[^\s/]+(?:\/\S*)?/;

export const KAFKA = section({
  brokers: z
    .array(
      text(
        /[^\s,:/]+:\d{1,5}(?:,[^\s,:/]+:\d{1,5})*/,
        "host:port, or several of them with commas between",
        "Where to find the cluster.",
      ),
      { error: "expected a list of brokers" },
    )
    .min(1, { error: "expected at least one broker" })
    .max(64, { error: "expected at most 64 brokers" })
    .describe("Addresses to find the cluster with; one value may hold several with commas between."),
  clientId: text(
    /[A-Za-z0-9._-]{1,200}/,
    "letters, digits, dots, hyphens and underscores",
    "Name in the brokers' logs and quotas; sluice-<environment>-router when left out.",
  ).optional(),
  groupId: text(
    /[A-Za-z0-9._-]{1,200}/,
    "letters, digits, dots, hyphens and underscores",
    "Consumer group of intake; sluice-<environment>-intake when left out. Positions are kept in Postgres, so another name loses nothing.",
  ).optional(),
  ssl: toggle(false, "Encrypt connections to the brokers; certificates are checked against the system's authorities."),
  sasl: section({
    mechanism: word(["plain", "scram-sha-256", "scram-sha-512"], "How the password is proven."),
    username: z.string().min(1).max(256).describe("User at the brokers."),
    password: z.string().min(1).max(4096).describe("Only as ${NAME} or ${file:/run/secrets/name}."),
  })
    .optional()
    .describe("Sign-in at the brokers; none when left out."),
  connectionTimeoutMs: integer({
    min: 100,
    max: MINUTE_MS,
    default: 3 * SECOND_MS,
    why: "Longest wait for a TCP connection to a broker; a healthy one takes milliseconds.",
  }),
  requestTimeoutMs: integer({
    min: SECOND_MS,
    max: 5 * MINUTE_MS,
    default: 30 * SECOND_MS,
    why: "Longest wait for a broker's answer; covers the election of a new leader.",
  }),
  sessionTimeoutMs: integer({
    min: 2 * SECOND_MS,
    max: 5 * MINUTE_MS,
    default: 6 * SECOND_MS,
    why: "Partitions of a killed router stay unread this long; with the usual 30000 they were unread for 27 s, with 6000 under 5 s. Brokers refuse less than their group.min.session.timeout.ms, which is 6000 by default.",
  }),
  heartbeatMs: integer({
    min: 100,
    max: MINUTE_MS,
    default: 1500,
    why: "A quarter of the session timeout, so that three heartbeats may be lost.",
  }),
  maxWaitMs: integer({
    min: 5,
    max: 10 * SECOND_MS,
    default: 200,
    why: "How long a broker may hold an empty fetch; the upper bound of what an idle topic adds to a job's time.",
  }),
  fetchBytesMax: integer({
    min: 64 * KIB,
    max: 256 * MIB,
    default: 2 * MIB,
    why: "Bytes of one fetch over all partitions of a broker. All its records are decoded at once, at some three times their size, and it lasts most of a second at full speed; more is only held for longer.",
  }),
  fetchBytesPerPartitionMax: integer({
    min: 16 * KIB,
    max: 64 * MIB,
    default: 256 * KIB,
    why: "Bytes of one fetch from one partition, so that several share it; a larger single record is still delivered.",
  }),
  inflatedBytesMax: integer({
    min: MIB,
    max: GIB,
    default: 128 * MIB,
    why: "Bytes of one compressed batch of a jobs topic once inflated; records of a larger one become dead letters TOO_LARGE, without their bytes.",
  }),
  partitionsAtOnce: integer({
    min: 1,
    max: 1000,
    default: 12,
    why: "Partitions whose records are handed on side by side; one that waits for the registry holds up no other below this number.",
  }),
  sendTimeoutMs: integer({
    min: SECOND_MS,
    max: 5 * MINUTE_MS,
    default: 15 * SECOND_MS,
    why: "How long brokers may take to write a send of results to all replicas before it is tried again.",
  }),
  watchdogMs: integer({
    min: 5 * SECOND_MS,
    max: 60 * MINUTE_MS,
    default: 45 * SECOND_MS,
    why: "A consumer with lag whose offset stands still this long is started again; well above one rebalance.",
  }),
}).describe("Connection to Kafka.");

const topicSettings = (defaults: { readonly partitions: number; readonly retentionDays: number }) => ({
  partitions: integer({
    min: 1,
    max: 10_000,
    default: defaults.partitions,
    why: "Number of partitions when the topic is created; only reported, never changed, on a topic that exists.",
  }),
  retentionDays: integer({ min: 1, max: 3650, default: defaults.retentionDays, why: "How long Kafka keeps a record." }),
  replication: z
    .int({ error: "expected a whole number from 1 to 9" })
    .min(1, { error: "expected a whole number from 1 to 9" })
    .max(9, { error: "expected a whole number from 1 to 9" })
    .optional()
    .describe(
      "Copies of each partition; when left out 3 (with min.insync.replicas 2), or as many as there are brokers when fewer.",
    ),
});
const topicName = (why: string) => text(TOPIC_NAME, TOPIC_EXPECTED, why);
const encoding = word(["json", "avro"], "Encoding of what the gateway publishes; avro needs the registry.").default(
  "json",
);

/** A topic the gateway writes: its name, or a section with its settings. */
const writtenTopic = (
  name: string,
  defaults: { readonly partitions: number; readonly retentionDays: number },
  why: string,
) =>
  z
    .union([
      topicName("The topic's name."),
      section({ name: topicName("The topic's name.").default(name), encoding, ...topicSettings(defaults) }),
    ])
    .prefault(name)
    .describe(why);

const jobsTopic = z.union([
  topicName("The topic's name."),
  section({ name: topicName("The topic's name."), ...topicSettings({ partitions: 12, retentionDays: 7 }) }),
]);

export const TOPICS = optionalSection(
  {
    jobs: z
      .array(jobsTopic, { error: "expected a list of topics" })
      .min(1, { error: "expected at least one topic" })
      .max(1000, { error: "expected at most 1000 topics" })
      .prefault(["llm.jobs.v1"])
      .describe(
        "Topics that jobs are read from; their dead letters go to <name>.dlq. Jobs are JSON or Avro record by record.",
      ),
    results: writtenTopic(
      "llm.results.v1",
      { partitions: 12, retentionDays: 14 },
      "Where results go when a job names no reply topic; reply topics are created with the same settings.",
    ),
    costs: writtenTopic("llm.costs.v1", { partitions: 6, retentionDays: 400 }, "Cost records, keyed by tenant."),
    events: writtenTopic("llm.events.v1", { partitions: 6, retentionDays: 7 }, "What somebody must notice."),
    deadLetters: optionalSection(
      topicSettings({ partitions: 3, retentionDays: 14 }),
      "Settings of every <jobs topic>.dlq.",
    ),
  },
  "Topics; created by `sluice topics apply`, never by themselves.",
);

export const REGISTRY = optionalSection(
  {
    url: text(
      HTTP_URL,
      "an http(s) URL",
      "Address of a registry with the Confluent API; without one Avro jobs can't be read.",
    ).optional(),
    username: z.string().min(1).max(256).optional().describe("User for basic authentication."),
    password: z.string().min(1).max(4096).optional().describe("Only as ${NAME} or ${file:/run/secrets/name}."),
    timeoutMs: integer({
      min: 100,
      max: MINUTE_MS,
      default: 5 * SECOND_MS,
      why: "Longest wait for the registry; intake stands still meanwhile, so it is short.",
    }),
    negativeCacheMs: integer({
      min: 0,
      max: 60 * MINUTE_MS,
      default: 30 * SECOND_MS,
      why: "How long an unknown schema id is remembered as unknown, so that a stream of bad records doesn't become a stream of look-ups.",
    }),
  },
  "Schema registry.",
);

export const POSTGRES = section({
  url: text(
    /postgres(?:ql)?:\/\/\S+/,
    "a postgres:// URL",
    "The ledger. A password only through ${NAME} or ${file:/run/secrets/name}.",
  ),
  connectionsMax: integer({
    min: 2,
    max: 64,
    default: 8,
    why: "Connections of one router; every stage works in groups, so more of them only wait for each other.",
  }),
  connectionTimeoutMs: integer({
    min: 100,
    max: MINUTE_MS,
    default: 5 * SECOND_MS,
    why: "Longest wait for a new connection.",
  }),
  statementTimeoutMs: integer({
    min: SECOND_MS,
    max: 10 * MINUTE_MS,
    default: 30 * SECOND_MS,
    why: "Longest run of one statement; the longest regular one takes well under a second.",
  }),
  session: optionalSection(
    {
      beatMs: integer({
        min: 50,
        max: MINUTE_MS,
        default: 3 * SECOND_MS,
        why: "A router says this often, in one UPDATE, that it lives.",
      }),
      stopAfterMs: integer({
        min: 100,
        max: 5 * MINUTE_MS,
        default: 9 * SECOND_MS,
        why: "A router whose last acknowledged beat is older than this starts nothing: three beats.",
      }),
      deadAfterMs: integer({
        min: 200,
        max: 15 * MINUTE_MS,
        default: 15 * SECOND_MS,
        why: "Others take over the work of a router silent for this long by the database's clock; the distance to stopAfterMs covers pauses.",
      }),
    },
    "How long a silent router keeps its work.",
  ),
}).describe("The ledger's database.");

export const REDIS = optionalSection(
  {
    url: text(
      /rediss?:\/\/\S+/,
      "a redis:// URL",
      "A password only through ${NAME} or ${file:/run/secrets/name}.",
    ).optional(),
    timeoutMs: integer({
      min: 10,
      max: MINUTE_MS,
      default: 200,
      why: "Longest wait for an answer; after it the router keeps to its own share of each limit until Redis answers again. Nothing waits for it: grants are asked for ahead.",
    }),
  },
  "Rate limits and cache shared between routers; without it each router takes its share.",
);

export const HTTP = optionalSection(
  {
    host: text(
      /[A-Za-z0-9.:_-]{1,255}/,
      "a host name or address",
      "Address to listen on; 0.0.0.0 in a container.",
    ).default("127.0.0.1"),
    port: integer({
      min: 0,
      max: 65_535,
      default: 9400,
      why: "Port of /livez, /readyz, /startupz and /metrics; 0 takes a free one.",
    }),
  },
  "Health and metrics.",
);
