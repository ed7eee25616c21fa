import type { Batch } from "../../domain/batch/batch.js";
import type { BatchWayRules } from "../../domain/batch/batch-rules.js";
import type { LifeSettings } from "../../domain/batch/life.js";
import type { TurnaroundBook } from "../../domain/batch/turnaround.js";
import type { SessionNo } from "../../domain/ids.js";
import type { Renderer } from "../../domain/result/outgoing.js";
import type { PlanRoutes } from "../../domain/route/plan-routes.js";
import type { BatchLedger } from "../../ports/batch-ledger.js";
import type { BatchProvider } from "../../ports/batch-provider.js";
import type { ReachPoint } from "../../ports/crash-points.js";
import type { Ledger, OutboxGroup } from "../../ports/ledger.js";
import type { Metrics } from "../../ports/metrics.js";
import type { FinishListener } from "../alert/tally-recorder.js";
import type { Clock, Log, Random } from "../../ports/system.js";
import type { JudgeSettings } from "../dispatch/call-judge.js";
import type { NumberSource } from "../dispatch/number-source.js";
import type { PoolReadings } from "./pool-readings.js";
import type { BatchAccountSettings, BatchingSettings } from "./batch-settings.js";
import type { GroupCalls } from "./group-calls.js";
import type { LineAccount } from "./line-planner.js";

/** An account whose config has a `batch` section. */
export interface BatchAccount {
  readonly provider: BatchProvider;
  readonly settings: BatchAccountSettings;
}

export interface BatchStageParts {
  readonly ledger: BatchLedger & Pick<Ledger, "finish" | "note">;
  readonly pools: Pick<PoolReadings, "read">;
  readonly session: SessionNo;
  readonly render: Renderer;
  /** By name. Batches of an account that is no longer here stay as they are. */
  readonly accounts: ReadonlyMap<string, BatchAccount>;
  /** Accounts whose provider has no batch API, by name: their lines are called in groups. */
  readonly groups: ReadonlyMap<string, LineAccount>;
  readonly groupCalls: Pick<GroupCalls, "add" | "drop">;
  readonly settings: BatchingSettings;
  readonly planRoutes: PlanRoutes;
  /** How long batches take, as far as it is known. */
  readonly turnaround: () => TurnaroundBook;
  readonly numbers: Pick<NumberSource, "reserve" | "next">;
  readonly judge: JudgeSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly mendable: (error: unknown) => boolean;
  /** Whether this session may still begin something; asked again right before the first byte of a creation leaves. */
  readonly mayStart: () => boolean;
  readonly publish: (groups: readonly OutboxGroup[]) => void;
  readonly fenced: () => void;
  /** Only there when somebody counts. */
  readonly listener?: FinishListener;
  readonly reach?: ReachPoint;
}

/** What the steps of a batch go by. */
export function lifeSettings(batch: Batch, account: BatchAccount, settings: BatchingSettings): LifeSettings {
  const { rules } = account.provider;
  return {
    pollMinMs: settings.pollMinMs,
    pollMaxMs: settings.pollMaxMs,
    createGraceMs: account.settings.createGraceMs,
    eraseAfterMs: settings.eraseAfterMs,
    fence: wayRules(account, batch.way)?.fence ?? "none",
    keepsMarks: rules.markCharactersMax !== null,
    windowMs: rules.windowMs,
    resultsKeptMs: rules.resultsKeptMs,
  };
}

export function wayRules({ provider }: Pick<LineAccount, "provider">, way: string): BatchWayRules | null {
  return provider.rules.ways.find((one) => one.way === way) ?? null;
}
