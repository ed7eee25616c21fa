import { KAFKA_SERVER } from "./kafka-server.js";
import { POSTGRES_SERVER } from "./postgres-server.js";
import { REDIS_SERVER } from "./redis-server.js";
import { REGISTRY_SERVER } from "./registry-server.js";
import type { ServerKind, ServerName } from "./server-kind.js";

/** Every server that can be had, by its name. */
export const SERVER_KINDS: Readonly<Record<ServerName, ServerKind>> = {
  kafka: KAFKA_SERVER,
  postgres: POSTGRES_SERVER,
  registry: REGISTRY_SERVER,
  redis: REDIS_SERVER,
};
