import { stringify } from "yaml";
import { idleCommitments } from "../../app/idle-commitments.js";
import { unpricedBatches } from "../../app/unpriced-batches.js";
import { unusedKeysOf } from "../../config/load.js";
import { masked } from "../../config/secrets.js";
import type { CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";

const TENANT_WARNING = "auth.tenantFrom is body: jobs are believed to be from whom they say";

export const addConfigCommands: CommandGroup = (program, context) => {
  const group = program.command("config").description("check or show the config");
  group
    .command("check")
    .description("report every problem of the config file, and keys without effect yet; exit 3 when there is a problem")
    .action(
      context.action(() => {
        const config = context.config();
        const { environment, auth } = config;
        const file = context.configFile();
        const warnings = [
          ...(auth.tenantFrom === "body" ? [TENANT_WARNING] : []),
          ...unusedKeysOf(file).map(({ path, line, message }) => `line ${String(line)}: ${path}: ${message}`),
          ...unpricedBatches(config),
          ...idleCommitments(config),
        ];
        warnings.forEach((warning) => {
          context.note(`${file}: warning: ${warning}`);
        });
        context.show({ ok: true, file, environment, warnings }, () => [`${file}: ok`]);
        return EXIT.done;
      }),
    );
  group
    .command("show")
    .description("print the config with every default; secrets are masked")
    .action(
      context.action(() => {
        const shown = masked(context.config());
        context.show(shown, () => stringify(shown).trimEnd().split("\n"));
        return EXIT.done;
      }),
    );
};
