import type { Config, TopicSettings } from "./config.js";

const DAY_MS = 86_400_000;

/** A topic that must exist. */
export interface ListedTopic {
  readonly name: string;
  readonly partitions: number;
  readonly retentionMs: number;
  /** Null: as many copies as the cluster can give, at most 3. */
  readonly replication: number | null;
}

/** Every topic that the gateway reads or writes: jobs, their dead letters, results, costs, events, and the tenants' reply topics. */
export function topicList(config: Config): readonly ListedTopic[] {
  const { topics } = config;
  const listed = [
    ...topics.jobs.map((topic) => listedTopic(topic.name, topic)),
    ...topics.jobs.map((topic) => listedTopic(topic.deadLetterTopic, topics.deadLetters)),
    listedTopic(topics.results.name, topics.results),
    listedTopic(topics.costs.name, topics.costs),
    listedTopic(topics.events.name, topics.events),
  ];
  const known = new Set(listed.map(({ name }) => name));
  return [
    ...listed,
    ...ownReplyTopics(config)
      .filter((name) => !known.has(name))
      .map((name) => listedTopic(name, topics.results)),
  ];
}

/** Topics of the tenants' own that results may go to, beside the common one. */
export function ownReplyTopics(config: Config): readonly string[] {
  const names = new Set(Object.values(config.tenants).flatMap((tenant) => tenant.replyTopics));
  names.delete(config.topics.results.name);
  return [...names];
}

function listedTopic(name: string, settings: TopicSettings): ListedTopic {
  return {
    name,
    partitions: settings.partitions,
    retentionMs: settings.retentionDays * DAY_MS,
    replication: settings.replication,
  };
}
