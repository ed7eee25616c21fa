import type { Condition, LetterState } from "../../../domain/dead-letter/where.js";

/** Which letters an operator means: all conditions at once. */
export interface LetterFilter {
  readonly conditions: readonly Condition[];
  /** Letter numbers; null: any. */
  readonly nos: readonly number[] | null;
  /** Null: any. */
  readonly states: readonly LetterState[] | null;
}

/** Collects the parameters of one statement: the text names them, and never holds a value. */
export class SqlValues {
  readonly #values: unknown[] = [];

  /** @returns the placeholder, `$1` for the first. */
  add(value: unknown): string {
    this.#values.push(value);
    return `$${String(this.#values.length)}`;
  }

  get all(): readonly unknown[] {
    return this.#values;
  }
}

const COLUMNS = {
  code: "d.code",
  topic: "d.topic",
  state: "d.state",
  failedAt: "d.failed_ms",
  replayCount: "d.replay_count",
} as const;

/** The condition after WHERE over `dead_letters d`. */
export function letterCondition(filter: LetterFilter, values: SqlValues): string {
  const terms = filter.conditions.map((condition) => termOf(condition, values));
  if (filter.nos !== null) terms.push(`d.no = ANY(${values.add(filter.nos)}::int8[])`);
  if (filter.states !== null) terms.push(`d.state = ANY(${values.add(filter.states)}::text[])`);
  return terms.length === 0 ? "true" : terms.join(" AND ");
}

function termOf(condition: Condition, values: SqlValues): string {
  if (condition.kind === "number")
    return `${COLUMNS[condition.field]} ${condition.operator} ${values.add(condition.value)}::int8`;
  // A letter without tenant or job id is another than the named one.
  const comparison = condition.operator === "=" ? "=" : "IS DISTINCT FROM";
  switch (condition.field) {
    case "tenant":
      return `d.tenant_no ${comparison} (SELECT no FROM tenants WHERE name = ${values.add(condition.value)}::text)`;
    case "jobId":
      return `d.job_id ${comparison} ${values.add(Buffer.from(condition.value, "utf8"))}::bytea`;
    case "code":
    case "topic":
    case "state":
      return `${COLUMNS[condition.field]} ${comparison} ${values.add(condition.value)}::text`;
  }
}
