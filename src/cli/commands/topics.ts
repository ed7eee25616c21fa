import type { TopicPlan } from "../../adapters/kafka/topics.js";
import { systemClock } from "../../adapters/system/system-clock.js";
import { topicList } from "../../config/topic-list.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";
import { tableLines } from "../text-table.js";
import { addAdoptCommand } from "./topics-adopt.js";

export const addTopicsCommands: CommandGroup = (program, context) => {
  const topics = program
    .command("topics")
    .description("plan or create the topics that the config names; adopt one that was made anew");
  topics
    .command("plan")
    .description("say what apply would create and what differs; exit 8 when it would create something")
    .action(
      context.action(async () => {
        const plan = await withTopics(context, (kafka, admin) => kafka.planTopics(admin, topicList(context.config())));
        context.show(plan, () => planLines(plan, "create"));
        noteDifferences(context, plan);
        return plan.create.length > 0 ? EXIT.planHasChanges : EXIT.done;
      }),
    );
  topics
    .command("apply")
    .description("create what is missing; never changes or deletes a topic")
    .action(
      context.action(async () => {
        const plan = await withTopics(context, async (kafka, admin) => {
          const made = await kafka.planTopics(admin, topicList(context.config()));
          await kafka.applyTopics(admin, made, systemClock);
          return made;
        });
        context.show(plan, () => planLines(plan, "created"));
        noteDifferences(context, plan);
        return EXIT.done;
      }),
    );
  addAdoptCommand(topics, context);
};

type TopicsModule = typeof import("../../adapters/kafka/topics.js");
type Admin = Parameters<Parameters<TopicsModule["withAdmin"]>[1]>[0];

async function withTopics(
  context: CommandContext,
  run: (kafka: TopicsModule, admin: Admin) => Promise<TopicPlan>,
): Promise<TopicPlan> {
  const { kafka } = context.config();
  const module = await import("../../adapters/kafka/topics.js");
  return module.withAdmin(kafka, (admin) => run(module, admin));
}

function planLines(plan: TopicPlan, verb: string): readonly string[] {
  const rows = [
    ...plan.create.map((topic) => [
      verb,
      topic.name,
      String(topic.partitions),
      String(topic.replication),
      String(topic.minInsyncReplicas),
      String(topic.retentionMs),
    ]),
    ...plan.existing.map((name) => ["exists", name]),
  ];
  return tableLines(["action", "topic", "partitions", "replication", "min.isr", "retention.ms"], rows);
}

function noteDifferences(context: CommandContext, plan: TopicPlan): void {
  for (const { topic, setting, wanted, found, why } of plan.differences) {
    context.note(`${topic}: ${setting} is ${found}, the config says ${wanted}; ${why}`);
  }
}
