import type { ProcessIdentity } from "./process-identity.js";
import type { FrontedListener, ServerName } from "./server-kind.js";

/** How clients reach the servers; "" for those that were not asked for. */
export interface StackAddresses {
  /** `host:port`, separated by commas. */
  readonly kafkaBrokers: string;
  /** `postgres://` URL with password and an existing database. */
  readonly databaseUrl: string;
  /** Base URL of the Confluent schema registry API, without a slash at the end. */
  readonly registryUrl: string;
  /** `redis://` URL. */
  readonly redisUrl: string;
}

/** How a server was found: see `startStack`. */
export type ServerOrigin = "environment" | "docker" | "native";

/** A server of a stack. One from the environment is not ours: `kill` and `restart` reject. */
export interface RunningServer {
  /** The server's name; `kafka-1` to `kafka-3` for a cluster. */
  readonly name: string;
  readonly kind: ServerName;
  readonly how: ServerOrigin;
  readonly address: string;
  /** The process now, or null when unknown or not ours. It changes with `restart`. */
  readonly pid: number | null;
  /** Sends a signal; for SIGKILL, SIGTERM, SIGINT and SIGQUIT resolves once the server has ended. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Stops the server if it runs, starts it on the same data and port, resolves when it answers. */
  restart(): Promise<void>;
}

export interface Stack {
  readonly addresses: StackAddresses;
  readonly servers: readonly RunningServer[];
  /** The process that owns the servers, or null when all came from the environment. */
  readonly supervisor: ProcessIdentity | null;
  /** Ends the servers that were started here and removes their data unless it was to be kept. Idempotent. */
  stop(): Promise<void>;
  /** Leaves the servers running after the end of this process; from then on only the supervisor's SIGTERM ends them. */
  detach(): Promise<void>;
}

export interface StackOptions {
  readonly servers: readonly ServerName[];
  /**
   * Keeps data (of containers: in volumes that bear its name), ports and logs there, for the next start on the same folder.
   * Default: a fresh folder, removed at the end.
   */
  readonly dataDir?: string;
  /** Default 1. */
  readonly brokers?: 1 | 3;
  /** One a broker: a second listener for clients that come through a proxy. The addresses of the stack stay those without it. */
  readonly frontedBrokers?: readonly FrontedListener[];
  /** Starts own servers even where the environment names some: for tests that kill them. Default false. */
  readonly own?: boolean;
  readonly onProgress?: (line: string) => void;
}
