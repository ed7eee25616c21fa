// Imports go one way (ARCHITECTURE.md): domain <- ports <- pipeline, adapters <- app <- cli. Each rule's comment is for whoever breaks it.
const folder = (name) => `^src/${name}/`;
const anyOf = (...names) => `^src/(${names.join("|")})/`;

/** A rule that forbids files below `from` to import files below `to`. */
const forbid = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });

module.exports = {
  forbidden: [
    forbid(
      "no-cycles",
      "Two files that import each other can't be understood, tested or loaded apart; move what both need into a third.",
      {},
      { circular: true },
    ),
    forbid(
      "domain-imports-domain-only",
      "The domain is what the gateway means, without the outside: it imports itself and the hashing of node:crypto, nothing else.",
      { path: folder("domain") },
      { path: "^src/", pathNot: folder("domain") },
    ),
    forbid(
      "domain-without-packages",
      "The domain imports no package but the JSON reader that keeps number lexemes: a library's types would become ours.",
      { path: folder("domain") },
      { dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer"], pathNot: "node_modules/lossless-json/" },
    ),
    forbid(
      "domain-without-node",
      "The domain reads no clock, file or socket; node:crypto (hashing) is the one exception.",
      { path: folder("domain") },
      { dependencyTypes: ["core"], pathNot: "^(node:)?crypto$" },
    ),
    forbid(
      "ports-import-domain-only",
      "Ports are interfaces in the domain's words: they import the domain and each other.",
      { path: folder("ports") },
      { path: "^src/", pathNot: anyOf("domain", "ports") },
    ),
    forbid(
      "ports-without-packages",
      "A port that names a package's types is no port: say it in the domain's words.",
      { path: folder("ports") },
      { dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer", "core"] },
    ),
    forbid(
      "pipeline-imports-ports",
      "Stages know domain and ports; what they need from outside is handed to them by app.",
      { path: folder("pipeline") },
      { path: "^src/", pathNot: anyOf("domain", "ports", "pipeline") },
    ),
    forbid(
      "pipeline-without-drivers",
      "A stage that imports a driver can't run in the simulation: use a port.",
      { path: folder("pipeline") },
      { dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer"] },
    ),
    forbid(
      "adapters-import-ports",
      "Adapters know domain and ports; they are handed their slice of the config.",
      { path: folder("adapters") },
      { path: "^src/", pathNot: anyOf("domain", "ports", "adapters") },
    ),
    forbid(
      "adapters-apart",
      "One adapter never imports another: app joins them.",
      { path: "^src/adapters/([^/]+)/.+" },
      { path: "^src/adapters/([^/]+)/.+", pathNot: "^src/adapters/$1/" },
    ),
    forbid(
      "providers-apart",
      "One provider never imports another: what they share stands beside them in src/adapters/providers, OpenAI's wire in openai-like.",
      { path: "^src/adapters/providers/([^/]+)/.+" },
      { path: "^src/adapters/providers/([^/]+)/.+", pathNot: "^src/adapters/providers/($1|openai-like)/" },
    ),
    forbid(
      "config-known-to-few",
      "Only app, cli and demo know the config; all others are handed the slice they need.",
      { path: "^src/", pathNot: anyOf("config", "app", "cli", "demo") },
      { path: folder("config") },
    ),
    forbid(
      "config-imports-domain-only",
      "The config knows the domain's words and nothing that runs.",
      { path: folder("config") },
      { path: "^src/", pathNot: anyOf("config", "domain") },
    ),
    forbid(
      "app-is-below-cli",
      "app builds adapters and stages; it knows no command, demo, simulator or local server.",
      { path: folder("app") },
      { path: anyOf("cli", "web", "demo", "simulator", "stack") },
    ),
    forbid(
      "nothing-imports-cli",
      "Commands are the outermost layer: what others need of them belongs further in.",
      { path: "^src/", pathNot: folder("cli") },
      { path: folder("cli") },
    ),
    forbid(
      "simulator-alone",
      "The simulator bills and answers by its own rules, so that the receipt is honest: it imports node and itself, nothing of the gateway.",
      { path: folder("simulator") },
      { path: "^src/", pathNot: folder("simulator") },
    ),
    forbid(
      "simulator-without-packages",
      "The simulator imports node's own modules and itself only.",
      { path: folder("simulator") },
      { dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer"] },
    ),
    forbid(
      "reader-alone",
      "The demo's reader judges the gateway: it imports node, kafkajs and itself, so that no error of ours can hide in shared code.",
      { path: "^src/demo/reader/" },
      { path: "^src/", pathNot: "^src/demo/reader/" },
    ),
    forbid(
      "reader-without-packages",
      "The demo's reader imports node, kafkajs and itself only.",
      { path: "^src/demo/reader/" },
      { dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer"], pathNot: "node_modules/kafkajs/" },
    ),
    forbid(
      "chaos-outside",
      "A run of chaos looks at the gateway from outside and judges it: of the gateway it knows the names of the crash points, nothing that counts or decides.",
      { path: folder("chaos") },
      {
        path: "^src/",
        pathNot: ["^src/(chaos|demo|stack)/", "^src/bench/process-usage\\.ts$", "^src/ports/crash-points\\.ts$"],
      },
    ),
    forbid(
      "checkers-alone",
      "The chaos run's checkers judge the gateway by its evidence: they import that, node and each other, so that no error of ours can hide in shared code.",
      { path: "^src/chaos/checkers/" },
      { path: "^src/", pathNot: "^src/chaos/(checkers|evidence)/" },
    ),
    forbid(
      "checkers-without-packages",
      "The chaos run's checkers import no package: they are handed what was read.",
      { path: "^src/chaos/checkers/" },
      { dependencyTypes: ["npm", "npm-dev", "npm-optional", "npm-peer"] },
    ),
    forbid(
      "evidence-reads-by-itself",
      "The readers of a chaos run's evidence know the wire and the schema, not the gateway: they import the demo's reader, node, clients of servers and each other.",
      { path: "^src/chaos/evidence/" },
      { path: "^src/", pathNot: "^src/(chaos/evidence|demo/reader)/" },
    ),
    forbid(
      "stack-alone",
      "The local servers know nothing of the gateway.",
      { path: folder("stack") },
      { path: "^src/", pathNot: folder("stack") },
    ),
    forbid(
      "nothing-imports-the-simulator",
      "Only its command and tests start the simulator in their own process.",
      { path: "^src/", pathNot: anyOf("simulator", "cli") },
      { path: folder("simulator") },
    ),
    forbid("no-test-code", "What ships imports nothing from test.", { path: "^src/" }, { path: "^test/" }),
    forbid(
      "no-development-packages",
      "What ships imports no development package: the image doesn't hold them.",
      { path: "^src/" },
      { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["npm", "type-only"] },
    ),
    forbid("resolvable", "An import that leads nowhere fails at start.", { path: "^src/" }, { couldNotResolve: true }),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
      extensions: [".ts", ".js", ".json"],
    },
  },
};
