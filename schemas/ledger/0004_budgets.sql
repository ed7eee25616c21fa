-- Budgets of several levels: rows are kept by a budget's own name (level and window, as JSON text) and the first millisecond of its window.
-- A row from before has only its tenant and a day. One of all time is told by its day; a day that begins a month may have been a window of
-- either kind, so both get what it counted: which of them goes on is what the config says.

CREATE TABLE budget_rows (
  -- The same text from one router to the next: locks are taken in its order.
  level text COLLATE "C" NOT NULL,
  since_ms bigint NOT NULL,
  settled_nano bigint NOT NULL DEFAULT 0,
  reserved_nano bigint NOT NULL DEFAULT 0 CHECK (reserved_nano >= 0),
  PRIMARY KEY (level, since_ms)
) WITH (fillfactor = 50);

-- One row an attempt and budget: an attempt counts in each that guards it.
CREATE TABLE reservation_rows (
  attempt_no bigint NOT NULL,
  level text COLLATE "C" NOT NULL,
  since_ms bigint NOT NULL,
  max_nano bigint NOT NULL CHECK (max_nano > 0),
  PRIMARY KEY (attempt_no, level)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TEMPORARY TABLE carried ON COMMIT DROP AS
  SELECT b.tenant_no, b.since_day, '["tenant",' || to_json(t.name)::text || ',null,null,"' || w.name || '"]' AS level, b.settled_nano, b.reserved_nano
  FROM budgets b JOIN tenants t ON t.no = b.tenant_no
    JOIN (VALUES ('total'), ('day'), ('month')) AS w(name) ON CASE w.name
      WHEN 'total' THEN b.since_day = 0
      WHEN 'day' THEN b.since_day > 0
      ELSE b.since_day > 0 AND extract(day FROM to_timestamp(b.since_day * 86400.0) AT TIME ZONE 'UTC') = 1 END;

INSERT INTO budget_rows (level, since_ms, settled_nano, reserved_nano)
  SELECT level, since_day * 86400000::bigint, settled_nano, reserved_nano FROM carried;
INSERT INTO reservation_rows (attempt_no, level, since_ms, max_nano)
  SELECT r.attempt_no, c.level, c.since_day * 86400000::bigint, r.max_nano
  FROM reservations r JOIN carried c ON c.tenant_no = r.tenant_no AND c.since_day = r.since_day;

DROP TABLE reservations;
DROP TABLE budgets;
ALTER TABLE budget_rows RENAME TO budgets;
ALTER TABLE reservation_rows RENAME TO reservations;
ALTER INDEX budget_rows_pkey RENAME TO budgets_pkey;
ALTER INDEX reservation_rows_pkey RENAME TO reservations_pkey;

-- The budget that keeps an execution out; null with another reason, and in rows from before, which are looked at again all the same.
ALTER TABLE ready ADD COLUMN waits_level text COLLATE "C";
DROP INDEX ready_budget;
CREATE INDEX ready_budget ON ready (waits_level, no) WHERE waits_for = 'budget';
