/** Tables up to this size are read whole, larger ones by so much of them. */
const SAMPLE_BYTES = 2_097_152;

/**
 * A relation for `FROM`: rows of a table, each with the number of rows that it stands for as `weight`. All of a small table, with weight 1;
 * of a large one whole pages by chance, so that what it costs does not grow. Sums are then estimates, off by some percent.
 * @param columns of the table as `t`. @param where a condition about `t`.
 */
export function sampledRows(table: string, columns: string, where = "true"): string {
  return `(SELECT t.*, 1 / s.share AS weight
    FROM (SELECT least(1, ${String(SAMPLE_BYTES)}::float8 / greatest(1, pg_relation_size('${table}'))) AS share) s,
      LATERAL (SELECT ${columns} FROM ${table} t TABLESAMPLE SYSTEM (100 * s.share) WHERE ${where}) t)`;
}
