import { pino } from "pino";
import type { Log } from "../../ports/system.js";
import { safeFields } from "./safe-fields.js";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A log that ends with its process: `close` writes what is still held. */
export interface ClosableLog extends Log {
  close(): void;
}

export interface LogOptions {
  /** stdout for a service; stderr for a command whose stdout holds data. */
  readonly to: "stdout" | "stderr";
  /** One of `LOG_LEVELS`; anything else, and nothing, means info. */
  readonly level: string | undefined;
  readonly service?: string;
}

/** Lines held while the reader of the log stalls; beyond it lines are dropped, since a stalled reader must not stop the router. */
const HELD_BYTES_MAX = 16_777_216;

/**
 * JSON lines: `time` (ISO 8601 UTC), `level`, `event`, then the fields. Fields named like secrets, prompts or answers are replaced,
 * long ones cut: see `safeFields`.
 */
export function openLog(options: LogOptions): ClosableLog {
  const destination = pino.destination({
    dest: options.to === "stdout" ? 1 : 2,
    sync: false,
    maxLength: HELD_BYTES_MAX,
  });
  return logTo(destination, options.level, () => {
    destination.flushSync();
  });
}

/** The same over any writable, for tests. */
export function logTo(
  destination: { write(line: string): unknown },
  level: string | undefined,
  flush: () => void = () => undefined,
): ClosableLog {
  const logger = pino(
    {
      level: levelOf(level),
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: "event",
    },
    { write: (line) => void destination.write(line) },
  );
  return {
    debug: (event, fields) => {
      if (logger.isLevelEnabled("debug")) logger.debug(safeFields(fields), event);
    },
    info: (event, fields) => {
      if (logger.isLevelEnabled("info")) logger.info(safeFields(fields), event);
    },
    warn: (event, fields) => {
      logger.warn(safeFields(fields), event);
    },
    error: (event, fields) => {
      logger.error(safeFields(fields), event);
    },
    close: flush,
  };
}

function levelOf(text: string | undefined): LogLevel {
  return LOG_LEVELS.find((level) => level === text?.toLowerCase()) ?? "info";
}
