/** More tenants with rows are not looked at. */
const TENANTS_LOOK = 256;

/**
 * An expression: when the oldest row became due that could run now; null: none is due. What waits for a rate limit can't run. Two probes of
 * indexes a tenant, however many rows it has. @param nowMs an expression that is the same for all of a statement, or no
 * index could go by it.
 */
export function oldestRunnable(nowMs: string): string {
  return `(WITH RECURSIVE waiting AS (
     (SELECT tenant_no FROM ready WHERE limit_name = '' ORDER BY tenant_no LIMIT 1)
     UNION ALL
     SELECT n.tenant_no FROM waiting w, LATERAL (
       SELECT r.tenant_no FROM ready r WHERE r.limit_name = '' AND r.tenant_no > w.tenant_no ORDER BY r.tenant_no LIMIT 1) n)
   SELECT min(f.run_at_ms) FROM (SELECT tenant_no FROM waiting LIMIT ${String(TENANTS_LOOK)}) w, LATERAL (
     SELECT r.run_at_ms FROM ready r WHERE r.limit_name = '' AND r.tenant_no = w.tenant_no AND r.run_at_ms <= ${nowMs}
     ORDER BY r.run_at_ms LIMIT 1) f)`;
}
