/** What the supervisor starts, as plain data: it crosses the pipe as JSON. */
export type ServerSpec = ProcessSpec | ContainerSpec;

/** A server as a plain process: no shell in between, its own process group, output appended to `logFile`. */
export interface ProcessSpec {
  readonly kind: "process";
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the process; nothing is inherited, so a server never sees our secrets. */
  readonly env: Readonly<Record<string, string>>;
  readonly workingFolder: string;
  /** Another system user to run as (only possible as root), or null for our own. */
  readonly user: SystemUser | null;
  readonly logFile: string;
  readonly stopSignal: NodeJS.Signals;
  /** How long after `stopSignal` SIGKILL follows. */
  readonly stopGraceMs: number;
}

/** A server in a container of a local image; removed together with its anonymous volumes at the end. */
export interface ContainerSpec {
  readonly kind: "container";
  readonly name: string;
  /** The Docker client. */
  readonly command: string;
  readonly containerName: string;
  /** What follows `docker run --detach --name NAME`: options, image, arguments. */
  readonly runArguments: readonly string[];
  readonly logFile: string;
  readonly stopSignal: NodeJS.Signals;
  readonly stopGraceMs: number;
}

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** What the holder of the pipe asks; one JSON object a line on the supervisor's stdin. */
export type SupervisorRequest =
  | { readonly id: number; readonly op: "start"; readonly spec: ServerSpec }
  | { readonly id: number; readonly op: "restart"; readonly name: string }
  | { readonly id: number; readonly op: "kill"; readonly name: string; readonly signal: NodeJS.Signals }
  /** A folder to remove once all servers have ended. */
  | { readonly id: number; readonly op: "removeAtEnd"; readonly folder: string }
  /** From now on the end of stdin no longer ends the servers; only SIGTERM does. */
  | { readonly id: number; readonly op: "detach" };

/** What the supervisor says; one JSON object a line on its stdout. */
export type SupervisorMessage =
  | { readonly kind: "done"; readonly id: number; readonly pid: number | null; readonly startTime: string | null }
  | { readonly kind: "refused"; readonly id: number; readonly error: string }
  | { readonly kind: "ended"; readonly name: string; readonly how: string };
