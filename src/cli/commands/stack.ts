import type { CommandContext, CommandGroup } from "../command-context.js";
import { CommandError, EXIT } from "../exit-code.js";
import { tableLines } from "../text-table.js";

type StackModule = typeof import("../../stack/stack-commands.js");
type StackStatus = Awaited<ReturnType<StackModule["stackStatus"]>>;

const stackModule = (): Promise<StackModule> => import("../../stack/stack-commands.js");

export const addStackCommands: CommandGroup = (program, context) => {
  const stack = program.command("stack").description("local Kafka, Postgres, registry and Redis: for trials and tests");
  stack
    .command("up")
    .description("start the servers and leave them running; prints their addresses for the environment")
    .option("--servers <names>", "which, with commas between; all when left out")
    .action(
      context.action(async ({ servers }: { readonly servers?: string }) => {
        const { ALL_SERVERS, stackUp } = await stackModule();
        const wanted = servers === undefined ? ALL_SERVERS : chosen(servers, ALL_SERVERS);
        const onProgress = (line: string): void => {
          context.note(line);
        };
        showStatus(context, await stackUp({ servers: wanted, onProgress }));
        return EXIT.done;
      }),
    );
  stack
    .command("down")
    .description("end the servers that `stack up` left running; their data stays")
    .action(
      context.action(async () => {
        const { stackDown } = await stackModule();
        const result = await stackDown();
        context.show(result, () => result.ended.map((name) => `ended ${name}`));
        if (result.ended.length === 0) context.note("no server of a stack was running");
        return EXIT.done;
      }),
    );
  stack
    .command("status")
    .description("say whether each server answers; exit 6 when one does not")
    .action(
      context.action(async () => {
        const { stackStatus } = await stackModule();
        const status = await stackStatus();
        showStatus(context, status);
        if (!status.up) context.note("no stack is up; start one with sluice stack up");
        return status.servers.every((server) => server.answers) ? EXIT.done : EXIT.partly;
      }),
    );
};

function chosen<Name extends string>(text: string, known: readonly Name[]): readonly Name[] {
  return text.split(",").map((word) => {
    const name = known.find((candidate) => candidate === word.trim());
    if (name === undefined)
      throw new CommandError(EXIT.usage, `expected --servers of ${known.join(", ")}, got "${word}"`);
    return name;
  });
}

/** Addresses as lines that a shell can read, so that `eval "$(sluice stack up)"` sets the environment. */
function showStatus(context: CommandContext, status: StackStatus): void {
  const { addresses } = status;
  const variables = [
    ["KAFKA_BROKERS", addresses.kafkaBrokers],
    ["DATABASE_URL", addresses.databaseUrl],
    ["SCHEMA_REGISTRY_URL", addresses.registryUrl],
    ["REDIS_URL", addresses.redisUrl],
  ] as const;
  context.show(status, () =>
    variables.filter(([, value]) => value !== "").map(([name, value]) => `export ${name}='${value}'`),
  );
  if (context.json() || status.servers.length === 0) return;
  const rows = status.servers.map((server) => [
    server.name,
    server.how,
    server.answers ? "answers" : `does not answer: ${server.trouble ?? "unknown"}`,
  ]);
  for (const line of tableLines(["server", "how", "state"], rows)) context.note(line);
}
