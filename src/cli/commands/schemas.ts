import type { SubjectReport } from "../../adapters/registry/register-schemas.js";
import { ownReplyTopics } from "../../config/topic-list.js";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { CommandError, EXIT, type ExitCode } from "../exit-code.js";
import { tableLines } from "../text-table.js";

type RegistryModule = typeof import("../../adapters/registry/register-schemas.js");
type Ask = RegistryModule["registerSchemas"];

export const addSchemasCommands: CommandGroup = (program, context) => {
  const schemas = program.command("schemas").description("the Avro schemas of all topics in the registry");
  schemas
    .command("register")
    .description("register them with their compatibility; what is there already keeps its id")
    .action(context.action(() => reportSubjects(context, (module) => module.registerSchemas)));
  schemas
    .command("check")
    .description("say what register would meet, and change nothing; exit 3 when the registry has an incompatible one")
    .action(context.action(() => reportSubjects(context, (module) => module.checkSchemas)));
};

async function reportSubjects(context: CommandContext, choose: (module: RegistryModule) => Ask): Promise<ExitCode> {
  const config = context.config();
  const { registry, topics } = config;
  const { url } = registry;
  if (url === null) throw new CommandError(EXIT.config, "expected registry.url in the config, which is missing");
  const ask = choose(await import("../../adapters/registry/register-schemas.js"));
  const reports = await ask(
    { ...registry, url },
    {
      jobs: topics.jobs.map(({ name }) => name),
      results: topics.results.name,
      // Where results are JSON, the subject of a tenant's topic is the tenant's own business.
      replies: topics.results.encoding === "avro" ? ownReplyTopics(config) : [],
      costs: topics.costs.name,
      events: topics.events.name,
    },
  );
  context.show(reports, () => tableLines(["subject", "state", "id", "schema", "compatibility"], reports.map(rowOf)));
  for (const report of reports) {
    if (report.state === "failed") context.note(`${report.subject}: ${report.message}`);
  }
  return exitCodeFor(reports);
}

function rowOf(report: SubjectReport): readonly string[] {
  const id = "id" in report ? String(report.id) : "-";
  return [report.subject, report.state, id, report.file, report.compatibility];
}

/** An incompatible schema weighs more than a registry that did not answer: it does not mend itself. */
function exitCodeFor(reports: readonly SubjectReport[]): ExitCode {
  const failed = reports.filter((report) => report.state === "failed");
  if (failed.length === 0) return EXIT.done;
  return failed.some(({ reachable }) => reachable) ? EXIT.config : EXIT.unreachable;
}
