import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Kafka, logLevel } from "kafkajs";
import { findJava, quickStartFlags } from "./java-runtime.js";
import { ensureMavenArtifact, MAVEN_ARTIFACTS } from "./maven-artifacts.js";
import {
  CHECK_TIMEOUT_MS,
  CONTAINER_DATA,
  type FrontedListener,
  type Launch,
  type LaunchContext,
  type LaunchMember,
  serverEnvironment,
  type ServerKind,
  stopGraceMs,
  volumeOptions,
} from "./server-kind.js";

interface Broker {
  readonly nodeId: number;
  readonly clientPort: number;
  readonly controllerPort: number;
  /** A second listener, whose clients are told to come through something in front of it; null: there is none. */
  readonly fronted: FrontedListener | null;
}

type Settings = Readonly<Record<string, string>>;

/** Kafka in KRaft mode: one node that is broker and controller, or three of them. */
export const KAFKA_SERVER: ServerKind = {
  name: "kafka",
  environmentVariable: "KAFKA_BROKERS",
  images: ["apache/kafka:4.3.1"],
  prepare: async (say) => {
    await findJava();
    return ensureMavenArtifact(MAVEN_ARTIFACTS.kafka, say);
  },
  planNative: async (files, context) => {
    const brokers = await brokersOf(context);
    const clusterId = clusterIdOf(context);
    const members = await Promise.all(brokers.map((broker) => planBroker(broker, brokers, files, clusterId, context)));
    return { address: members.map((member) => member.address).join(","), members };
  },
  planContainer: planKafkaContainer,
  check: checkKafka,
};

async function brokersOf(context: LaunchContext): Promise<readonly Broker[]> {
  const ports = await context.ports("kafka", 2 * context.brokers);
  return Array.from({ length: context.brokers }, (_, index) => ({
    nodeId: index + 1,
    clientPort: ports[2 * index] ?? 0,
    controllerPort: ports[2 * index + 1] ?? 0,
    fronted: context.frontedListeners[index] ?? null,
  }));
}

/** Kept beside the data, so that a format which was interrupted goes on with the same id. */
function clusterIdOf(context: LaunchContext): string {
  const file = join(context.dataFolder, "kafka-cluster-id");
  if (!existsSync(file)) {
    // Kafka's form of an id: 16 bytes in base64url. The first byte is fixed so that it never begins with a dash.
    const bytes = randomBytes(16);
    bytes[0] = 0x41;
    writeFileSync(file, bytes.toString("base64url"));
  }
  return readFileSync(file, "utf8");
}

async function planBroker(
  broker: Broker,
  all: readonly Broker[],
  libraries: string,
  clusterId: string,
  context: LaunchContext,
): Promise<LaunchMember> {
  const name = all.length === 1 ? "kafka" : `kafka-${String(broker.nodeId)}`;
  const data = join(context.dataFolder, name);
  mkdirSync(data, { recursive: true });
  const file = join(context.dataFolder, `${name}.properties`);
  const settings = { ...brokerSettings(broker, all, "127.0.0.1"), "log.dirs": data };
  writeFileSync(file, propertiesText(settings));
  const java = await findJava();
  const classPath = ["-cp", join(libraries, "*")];
  if (!existsSync(join(data, "meta.properties"))) await formatStorage(java, [...classPath], clusterId, file);
  return {
    address: `127.0.0.1:${String(broker.clientPort)}`,
    spec: {
      kind: "process",
      name,
      command: java,
      args: [...javaFlags(all.length), ...LOG_FLAGS, ...classPath, "kafka.Kafka", file],
      env: serverEnvironment(),
      workingFolder: context.dataFolder,
      user: null,
      logFile: join(context.dataFolder, `${name}.log`),
      stopSignal: "SIGTERM",
      stopGraceMs: stopGraceMs(context),
    },
  };
}

const LOG_FLAGS = [
  "-Dorg.slf4j.simpleLogger.showDateTime=true",
  "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
];

/** `SLUICE_KAFKA_JAVA_OPTS` replaces heap and compiler flags: quick-start flags cost throughput in a long benchmark. */
function javaFlags(brokers: number): readonly string[] {
  const own = process.env["SLUICE_KAFKA_JAVA_OPTS"];
  if (own !== undefined && own.trim() !== "") return own.trim().split(/\s+/);
  return quickStartFlags(brokers === 1 ? 512 : 384);
}

async function formatStorage(java: string, classPath: string[], clusterId: string, file: string): Promise<void> {
  const args = [...quickStartFlags(256), ...classPath, "kafka.tools.StorageTool"];
  await promisify(execFile)(java, [...args, "format", "--ignore-formatted", "-t", clusterId, "-c", file], {
    timeout: 60_000,
    env: serverEnvironment(),
  });
}

/**
 * The settings that differ from Kafka's own defaults. Internal topics need as many replicas as there are brokers.
 * Source: Apache Kafka 4.3 documentation, broker configuration.
 */
function brokerSettings(broker: Broker, all: readonly Broker[], bindHost: string): Settings {
  const replicas = String(all.length);
  const inSync = String(Math.min(2, all.length));
  const voters = all.map(({ nodeId, controllerPort }) => `${String(nodeId)}@127.0.0.1:${String(controllerPort)}`);
  const { fronted } = broker;
  const [listener, advertised, protocol] =
    fronted === null
      ? ["", "", ""]
      : [
          `,FRONTED://${bindHost}:${String(fronted.listenPort)}`,
          `,FRONTED://127.0.0.1:${String(fronted.advertisedPort)}`,
          ",FRONTED:PLAINTEXT",
        ];
  return {
    "process.roles": "broker,controller",
    "node.id": String(broker.nodeId),
    "controller.quorum.voters": voters.join(","),
    listeners: `CLIENT://${bindHost}:${String(broker.clientPort)},CONTROLLER://127.0.0.1:${String(broker.controllerPort)}${listener}`,
    "advertised.listeners": `CLIENT://127.0.0.1:${String(broker.clientPort)}${advertised}`,
    "listener.security.protocol.map": `CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT${protocol}`,
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    // Where routers are killed again and again, a rebalance that waits 6 s for each dead one would never end.
    "group.min.session.timeout.ms": "2000",
    "default.replication.factor": replicas,
    "min.insync.replicas": inSync,
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": inSync,
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": inSync,
    // Measured with three brokers: a killed one stalls a producer 3.5 s instead of 11.3 s with the default of 9 s.
    ...(all.length > 1 ? { "broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500" } : {}),
  };
}

function propertiesText(settings: Settings): string {
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");
}

/** The image takes settings as environment variables: KAFKA_, capitals, underscores for dots. */
async function planKafkaContainer(image: string, context: LaunchContext): Promise<Launch> {
  if (context.brokers !== 1) throw new Error("three brokers are started natively only");
  if (context.frontedListeners.length > 0) throw new Error("a broker behind a proxy is started natively only");
  const brokers = await brokersOf(context);
  const broker = brokers[0];
  if (broker === undefined) throw new Error("no ports for the broker");
  const settings = { ...brokerSettings(broker, brokers, "0.0.0.0"), "log.dirs": CONTAINER_DATA.kafka };
  const variables = Object.entries(settings).flatMap(([key, value]) => [
    "--env",
    `KAFKA_${key.toUpperCase().replaceAll(".", "_")}=${value}`,
  ]);
  const port = String(broker.clientPort);
  const address = `127.0.0.1:${port}`;
  return {
    address,
    members: [
      {
        address,
        spec: {
          kind: "container",
          name: "kafka",
          command: "docker",
          containerName: `sluice-kafka-${port}`,
          runArguments: ["--publish", `${address}:${port}`, ...volumeOptions(context, "kafka"), ...variables, image],
          logFile: join(context.dataFolder, "kafka.log"),
          stopSignal: "SIGTERM",
          stopGraceMs: stopGraceMs(context),
        },
      },
    ],
  };
}

/** Ready means that the broker stands in its own metadata: an open port or a log line comes earlier. */
async function checkKafka(address: string): Promise<void> {
  const kafka = new Kafka({
    clientId: "sluice-stack-check",
    brokers: address.split(","),
    connectionTimeout: CHECK_TIMEOUT_MS,
    requestTimeout: CHECK_TIMEOUT_MS,
    retry: { retries: 0 },
    logLevel: logLevel.NOTHING,
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    if (brokers.length === 0) throw new Error("the metadata name no broker yet");
  } finally {
    await admin.disconnect();
  }
}
