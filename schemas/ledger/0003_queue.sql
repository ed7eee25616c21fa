-- The queue is taken tenant by tenant, and what waits for a rate limit is taken by that limit's name when there are grants for it.
ALTER TABLE ready ADD COLUMN tenant_no integer NOT NULL DEFAULT 0;
-- What it waits for until there is a grant, whatever run_at_ms says; empty: it waits until run_at_ms.
ALTER TABLE ready ADD COLUMN limit_name text COLLATE "C" NOT NULL DEFAULT '';
UPDATE ready r SET tenant_no = e.tenant_no FROM executions e WHERE e.no = r.no AND e.day = r.day;
DROP INDEX ready_order;
-- The last column keeps rows that are not due out of the way without looking at them.
CREATE INDEX ready_turn ON ready (limit_name, tenant_no, priority DESC, expires_ms, run_at_ms);
