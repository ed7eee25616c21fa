/** A command, or a flag of one, that the contract names and that does not exist yet. */
interface NotBuilt {
  readonly command: readonly string[];
  /** Null: the command itself. */
  readonly flag: string | null;
  readonly instead: string;
}

/** All of them: what is built leaves this list. */
export const NOT_BUILT: readonly NotBuilt[] = [
  {
    command: ["router"],
    flag: "--role",
    instead: "each router does the work of all stages; leave the flag out, and start more routers for more of any",
  },
  {
    command: ["config", "reload"],
    flag: null,
    instead:
      "check the new config with `sluice config check`, then stop and start the routers one after another: the others go on meanwhile",
  },
  {
    command: ["providers", "pause"],
    flag: null,
    instead:
      "take the account out of `models.NAME.candidates` (not out of `providers`) and restart the routers one after another",
  },
  {
    command: ["providers", "resume"],
    flag: null,
    instead: "put the account back into `models.NAME.candidates` and restart the routers one after another",
  },
];

/** What to say of a command line that Commander did not know, when the contract does; null: nobody knows it. */
export function notBuiltText(args: readonly string[]): string | null {
  const found = NOT_BUILT.find(({ command, flag }) => names(args, command) && (flag === null || hasFlag(args, flag)));
  if (found === undefined) return null;
  return `not built yet: ${[...found.command, ...(found.flag === null ? [] : [found.flag])].join(" ")}; ${found.instead}`;
}

/** Flags may stand before and between the words, those of all commands with a value of theirs. */
function names(args: readonly string[], command: readonly string[]): boolean {
  const words = args.filter((arg, index) => !arg.startsWith("-") && args[index - 1] !== "--config");
  return command.every((word, index) => words[index] === word);
}

function hasFlag(args: readonly string[], flag: string): boolean {
  return args.some((arg) => arg === flag || arg.startsWith(`${flag}=`));
}
