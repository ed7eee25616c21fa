import type pg from "pg";
import type { Budget } from "../../domain/budget/budget.js";
import type { SeenStanding } from "../../ports/budget-store.js";
import { PostgresBudgets } from "./budget/postgres-budgets.js";
import { NOT_ARMED, type CrashPoint, type ReachPoint } from "../../ports/crash-points.js";
import { run, type CommitPoints, type Pools } from "./connection.js";
import { textArray } from "./binary-array.js";
import { NumberBlock } from "./number-block.js";
import { ReadyTake } from "./ready-take.js";

const DAY_MS = 86_400_000;

/** Tenants by number: narrow keys in hot tables. Both ways are in memory; unknown names are added before a transaction. */
export class TenantNumbers {
  readonly #pool: pg.Pool;
  readonly #noByName = new Map<string, number>();
  readonly #nameByNo = new Map<number, string>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** After this `noOf` knows each of the names and `nameOf` every tenant in the ledger. */
  async ensure(names: readonly string[]): Promise<void> {
    if (this.#nameByNo.size > 0 && names.every((name) => this.#noByName.has(name))) return;
    await run(
      this.#pool,
      "tenants-insert",
      "INSERT INTO tenants (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
      [textArray([...new Set(names)])],
    );
    const rows = await run(this.#pool, "tenants-all", "SELECT no, name FROM tenants", []);
    for (const [no, name] of rows) {
      this.#noByName.set(name ?? "", Number(no));
      this.#nameByNo.set(Number(no), name ?? "");
    }
  }

  noOf(name: string): number {
    const no = this.#noByName.get(name);
    if (no === undefined) throw new Error(`InvariantError: tenant "${name}" has no number; call ensure first`);
    return no;
  }

  find(no: number): string | undefined {
    return this.#nameByNo.get(no);
  }

  /** 0 is no tenant: for rows about records whose tenant is unproven. */
  nameOf(no: number): string {
    const name = this.#nameByNo.get(no);
    if (name === undefined) throw new Error(`InvariantError: tenant number ${String(no)} is unknown`);
    return name;
  }
}

/** Bounds of the ledger's transactions and rows. */
export interface LedgerSettings {
  /** Jobs beside the first of each call that are answered in the transaction which ends it; the sweep answers the rest. */
  readonly waitersMax: number;
  /** Bodies longer than this are stored compressed. */
  readonly compressAboveBytes: number;
  /** At most one a level and window. */
  readonly budgets: readonly Budget[];
  /** How often a tenant has its turn in the queue, against the others; 1 for those that are not there. */
  readonly weights?: ReadonlyMap<string, number>;
  /** Names that rows may wait by; one that waits by another, of an earlier config, is due. */
  readonly limits?: readonly string[];
  /** Told where budgets stand whenever they are read; left out: nobody. */
  readonly seenBudget?: SeenStanding;
}

const DEFAULT_LEDGER_SETTINGS: LedgerSettings = { waitersMax: 500, compressAboveBytes: 2048, budgets: [] };

/** What every operation of the ledger shares. */
export class LedgerContext {
  readonly settings: LedgerSettings;
  readonly pools: Pools;
  readonly cluster: string;
  readonly tenants: TenantNumbers;
  readonly numbers: NumberBlock;
  readonly budgets: PostgresBudgets;
  readonly readyTake: ReadyTake;
  readonly reach: ReachPoint;
  #databaseAheadMs = 0;
  readonly #nowMs: () => number;

  constructor(
    pools: Pools,
    cluster: string,
    nowMs: () => number,
    settings: LedgerSettings = DEFAULT_LEDGER_SETTINGS,
    reach: ReachPoint = NOT_ARMED,
  ) {
    this.settings = settings;
    this.reach = reach;
    this.pools = pools;
    this.cluster = cluster;
    this.tenants = new TenantNumbers(pools.durable);
    this.numbers = new NumberBlock(pools.durable);
    this.#nowMs = nowMs;
    this.readyTake = new ReadyTake((no) => settings.weights?.get(this.tenants.find(Number(no)) ?? "") ?? 1);
    this.budgets = new PostgresBudgets(settings.budgets, () => this.databaseMs(), settings.seenBudget);
  }

  /**
   * The points around a transaction's COMMIT; left out while nothing is armed, so that no transaction has more to do.
   * @param counts whether what the transaction came to is worth a kill.
   */
  commitPoints(
    [before, sent]: readonly [before: CrashPoint, sent?: CrashPoint],
    counts: (result: unknown) => boolean = () => true,
  ): CommitPoints | undefined {
    const { reach } = this;
    if (reach === NOT_ARMED) return undefined;
    return {
      before: (result) => {
        if (counts(result)) reach(before);
      },
      sent: (result) => {
        if (sent !== undefined && counts(result)) reach(sent);
      },
    };
  }

  /** Called with each database time that is read, so that `databaseMs` and `today` follow the database's clock. */
  sawDatabaseTime(databaseMs: number): void {
    this.#databaseAheadMs = databaseMs - this.#nowMs();
  }

  /** The time on the database's clock, as far as is known. */
  databaseMs(): number {
    return this.#nowMs() + this.#databaseAheadMs;
  }

  today(): number {
    return Math.floor(this.databaseMs() / DAY_MS);
  }
}
