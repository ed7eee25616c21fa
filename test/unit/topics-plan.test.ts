import { describe, expect, test } from "@jest/globals";
import {
  applyTopics,
  clientOptions,
  planTopics,
  type TopicAdmin,
  type WantedTopic,
} from "../../src/adapters/kafka/topics.js";
import { PROVIDER_KINDS } from "../../src/adapters/providers/registry.js";
import { parseConfig } from "../../src/config/parse.js";
import { topicList } from "../../src/config/topic-list.js";

interface FakeTopic {
  readonly partitions: number;
  readonly replication: number;
  readonly settings: Readonly<Record<string, string>>;
}

type Created = NonNullable<Parameters<TopicAdmin["createTopics"]>[0]>;

const leaderless = (): Error => Object.assign(new Error("not the leader"), { retriable: true });
const clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: () => Promise.resolve() };

/** A cluster in memory, as far as these functions look at one. A topic's first `unserved` questions find no leader. */
function fakeCluster(brokers: number, topics: Readonly<Record<string, FakeTopic>> = {}, unserved = 0) {
  const requests: Created[] = [];
  const asked: string[] = [];
  const admin: TopicAdmin = {
    describeCluster: () =>
      Promise.resolve({
        brokers: Array.from({ length: brokers }, (_, nodeId) => ({ nodeId, host: "h", port: 1 })),
        controller: 0,
        clusterId: "c",
      }),
    listTopics: () => Promise.resolve(Object.keys(topics)),
    fetchTopicMetadata: () =>
      Promise.resolve({
        topics: Object.entries(topics).map(([name, topic]) => ({
          name,
          partitions: Array.from({ length: topic.partitions }, (_, partitionId) => ({
            partitionErrorCode: 0,
            partitionId,
            leader: 0,
            replicas: Array.from({ length: topic.replication }, (_, index) => index),
            isr: [0],
          })),
        })),
      }),
    describeConfigs: ({ resources }) =>
      Promise.resolve({
        throttleTime: 0,
        resources: resources.map(({ name }) => ({
          errorCode: 0,
          errorMessage: "",
          resourceName: name,
          resourceType: 2,
          configEntries: Object.entries(topics[name]?.settings ?? {}).map(([configName, configValue]) => ({
            configName,
            configValue,
            isDefault: false,
            configSource: 1,
            isSensitive: false,
            readOnly: false,
            configSynonyms: [],
          })),
        })),
      }),
    createTopics: (request) => {
      requests.push(request);
      return Promise.resolve(true);
    },
    fetchTopicOffsets: (topic) => {
      asked.push(topic);
      if (asked.filter((name) => name === topic).length <= unserved) return Promise.reject(leaderless());
      return Promise.resolve([]);
    },
  };
  return { admin, requests, asked };
}

const JOBS: WantedTopic = { name: "jobs", partitions: 12, retentionMs: 604_800_000, replication: null };
const RIGHT: FakeTopic = {
  partitions: 12,
  replication: 3,
  settings: { "cleanup.policy": "delete", "retention.ms": "604800000", "min.insync.replicas": "2" },
};

describe("planning topics", () => {
  test.each([
    [1, null, 1, 1],
    [2, null, 2, 1],
    [3, null, 3, 2],
    [7, null, 3, 2],
    [3, 5, 5, 2],
    [3, 1, 1, 1],
  ])(
    "on %i brokers with replication %s gives %i copies, of which %i must have a record",
    async (brokers, replication, copies, minInsync) => {
      const plan = await planTopics(fakeCluster(brokers).admin, [{ ...JOBS, replication }]);
      expect(plan.create.map((topic) => [topic.replication, topic.minInsyncReplicas])).toEqual([[copies, minInsync]]);
    },
  );

  test("finds nothing to do where all is right", async () => {
    expect(await planTopics(fakeCluster(3, { jobs: RIGHT }).admin, [JOBS])).toEqual({
      create: [],
      existing: ["jobs"],
      differences: [],
    });
  });

  const differences: readonly (readonly [
    name: string,
    found: FakeTopic,
    setting: string,
    wanted: string,
    is: string,
  ])[] = [
    ["fewer partitions", { ...RIGHT, partitions: 6 }, "partitions", "12", "6"],
    ["fewer copies", { ...RIGHT, replication: 1 }, "replication", "3", "1"],
    [
      "another retention",
      { ...RIGHT, settings: { ...RIGHT.settings, "retention.ms": "1000" } },
      "retention.ms",
      "604800000",
      "1000",
    ],
    [
      "compaction",
      { ...RIGHT, settings: { ...RIGHT.settings, "cleanup.policy": "compact" } },
      "cleanup.policy",
      "delete",
      "compact",
    ],
    [
      "a weaker acknowledgement",
      { ...RIGHT, settings: { ...RIGHT.settings, "min.insync.replicas": "1" } },
      "min.insync.replicas",
      "2",
      "1",
    ],
  ];
  test.each(differences)("reports %s", async (_name, found, setting, wanted, is) => {
    const plan = await planTopics(fakeCluster(3, { jobs: found }).admin, [JOBS]);
    expect(plan.create).toEqual([]);
    expect(plan.differences).toEqual([
      { topic: "jobs", setting, wanted, found: is, why: expect.stringMatching(/\w{4}/) },
    ]);
  });
});

describe("applying a plan", () => {
  test("creates what is missing with its settings and touches nothing else", async () => {
    const { admin, requests } = fakeCluster(3, { jobs: { ...RIGHT, partitions: 1 } });
    await applyTopics(admin, await planTopics(admin, [JOBS, { ...JOBS, name: "results" }]), clock);
    expect(requests.flatMap((request) => request.topics)).toEqual([
      {
        topic: "results",
        numPartitions: 12,
        replicationFactor: 3,
        configEntries: [
          { name: "cleanup.policy", value: "delete" },
          { name: "retention.ms", value: "604800000" },
          { name: "min.insync.replicas", value: "2" },
        ],
      },
    ]);
  });

  test("asks for at most a hundred topics at once", async () => {
    const { admin, requests } = fakeCluster(1);
    const wanted = Array.from({ length: 250 }, (_, index) => ({ ...JOBS, name: `jobs-${String(index)}` }));
    await applyTopics(admin, await planTopics(admin, wanted), clock);
    expect(requests.map((request) => request.topics.length)).toEqual([100, 100, 50]);
  });

  test("ends when each new topic is served, not when it is named", async () => {
    const { admin, asked } = fakeCluster(3, { jobs: RIGHT }, 2);
    await applyTopics(admin, await planTopics(admin, [JOBS, { ...JOBS, name: "results" }]), clock);
    expect(asked).toEqual(["results", "results", "results"]);
  });

  test("asks again for a topic that no broker leads yet, which kafkajs falls over", async () => {
    const { admin } = fakeCluster(3);
    let asked = 0;
    const overNothing = (): Promise<never> => {
      asked += 1;
      return Promise.reject(
        new TypeError("Cannot destructure property 'partitions' of 'high.pop(...)' as it is undefined."),
      );
    };
    const served = admin.fetchTopicOffsets;
    admin.fetchTopicOffsets = (topic) => (asked < 3 ? overNothing() : served(topic));
    await applyTopics(admin, await planTopics(admin, [JOBS]), clock);
    expect(asked).toBe(3);
  });

  test("fails only when no question is under way any more", async () => {
    const { admin } = fakeCluster(3);
    let open = 0;
    admin.fetchTopicOffsets = async (topic) => {
      open += 1;
      for (let turn = 0; turn < (topic === "jobs" ? 1 : 20); turn += 1) await new Promise(setImmediate);
      open -= 1;
      throw new Error(`refused ${topic}`);
    };
    const plan = await planTopics(admin, [JOBS, { ...JOBS, name: "slow" }]);
    await expect(applyTopics(admin, plan, clock)).rejects.toThrow("refused jobs");
    expect(open).toBe(0);
  });

  test("asks for nothing when nothing is missing", async () => {
    const { admin, requests } = fakeCluster(3, { jobs: RIGHT });
    await applyTopics(admin, await planTopics(admin, [JOBS]), clock);
    expect(requests).toEqual([]);
  });
});

describe("the list of topics", () => {
  test("holds jobs, dead letters, results, costs, events and each reply topic once", () => {
    const text = `
environment: test
kafka: { brokers: ['a:1'] }
postgres: { url: 'postgres://h/d' }
auth: { tenantFrom: body }
topics: { jobs: [j1, j2], deadLetters: { partitions: 1 }, results: { name: r, retentionDays: 2 } }
retention: { jobIdDays: 14 }
tenants: { a: { replyTopics: [answers, r] }, b: { replyTopics: [answers] } }
providers: {}
`;
    const outcome = parseConfig(text, {}, () => "", PROVIDER_KINDS);
    const listed = outcome.ok ? topicList(outcome.config) : [];
    const day = 86_400_000;
    expect(listed.map(({ name, partitions, retentionMs }) => [name, partitions, retentionMs / day])).toEqual([
      ["j1", 12, 7],
      ["j2", 12, 7],
      ["j1.dlq", 1, 14],
      ["j2.dlq", 1, 14],
      ["r", 12, 2],
      ["llm.costs.v1", 6, 400],
      ["llm.events.v1", 6, 7],
      ["answers", 12, 2],
    ]);
  });
});

describe("client options", () => {
  const connection = { brokers: ["a:1"], clientId: "c", ssl: true, connectionTimeoutMs: 1, requestTimeoutMs: 2 };

  test("carry the sign-in when there is one", () => {
    const sasl = { mechanism: "scram-sha-256", username: "u", password: "p" } as const;
    expect(clientOptions({ ...connection, sasl })).toMatchObject({
      brokers: ["a:1"],
      ssl: true,
      sasl,
      connectionTimeout: 1,
      requestTimeout: 2,
    });
  });

  test("carry none when there is none", () => {
    expect(clientOptions({ ...connection, sasl: null })).not.toHaveProperty("sasl");
  });
});
