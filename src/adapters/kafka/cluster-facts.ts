import type { Admin, Kafka } from "kafkajs";

/** Facts about the cluster, read through one admin connection. */
export class ClusterFacts {
  readonly #admin: Admin;
  #id = "";

  constructor(kafka: Kafka) {
    this.#admin = kafka.admin({ retry: { retries: 3, initialRetryTime: 200, maxRetryTime: 1000 } });
  }

  async connect(): Promise<void> {
    await this.#admin.connect();
    this.#id = (await this.#admin.describeCluster()).clusterId;
  }

  async close(): Promise<void> {
    await this.#admin.disconnect();
  }

  /** The cluster's own id: positions of another cluster are never mistaken for this one's. */
  get id(): string {
    return this.#id;
  }

  /** First and next offset of a partition. */
  async offsets(topic: string, partition: number): Promise<{ readonly low: number; readonly high: number }> {
    const found = await this.#admin.fetchTopicOffsets(topic);
    const entry = found.find((candidate) => candidate.partition === partition);
    if (entry === undefined) throw new Error(`topic ${topic} has no partition ${String(partition)}`);
    return { low: Number(entry.low), high: Number(entry.high) };
  }

  /** Records that nobody has fetched yet, over all partitions of the topics, by the given positions. */
  async problem(topics: readonly string[]): Promise<string | null> {
    const metadata = await this.#admin.fetchTopicMetadata({ topics: [...topics] });
    const missing = topics.filter(
      (name) => !metadata.topics.some((topic) => topic.name === name && topic.partitions.length > 0),
    );
    return missing.length === 0 ? null : `topics missing: ${missing.join(", ")}; run: sluice topics apply`;
  }
}
