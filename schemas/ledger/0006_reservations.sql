-- What an attempt has reserved stands in its own row, beside `max_nano`: a call then writes no row for it, whatever the number of its budgets,
-- and its outcome ends it where it is stored. Budgets get numbers for that, in whose order they are locked.

ALTER TABLE budgets ADD COLUMN no integer NOT NULL GENERATED ALWAYS AS IDENTITY;
ALTER TABLE budgets ADD CONSTRAINT budgets_no UNIQUE (no);

-- The budgets that hold the attempt's `max_nano` until its outcome is known, those in doubt included; null: none, or none any more. No index
-- holds it: an outcome is to be stored without touching one.
ALTER TABLE attempts ADD COLUMN reserved_in integer[];

CREATE TEMPORARY TABLE carried ON COMMIT DROP AS
  SELECT r.attempt_no, r.level, r.since_ms, r.max_nano, b.no AS budget_no,
    EXISTS (SELECT 1 FROM attempts a WHERE a.no = r.attempt_no AND a.max_nano = r.max_nano
      AND a.state IN ('sending', 'batched', 'in_doubt', 'settled')) AS is_open
  FROM reservations r JOIN budgets b ON b.level = r.level AND b.since_ms = r.since_ms;

UPDATE attempts a SET reserved_in = c.budgets
  FROM (SELECT attempt_no, array_agg(budget_no ORDER BY budget_no) AS budgets FROM carried WHERE is_open GROUP BY attempt_no) c
  WHERE a.no = c.attempt_no;

-- One whose attempt is not there any more, or not open: nobody would ever say what it cost, so it counts with its maximum.
UPDATE budgets b SET settled_nano = b.settled_nano + c.lost, reserved_nano = b.reserved_nano - c.lost
  FROM (SELECT budget_no, sum(max_nano)::bigint AS lost FROM carried WHERE NOT is_open GROUP BY budget_no) c
  WHERE b.no = c.budget_no;

DROP TABLE reservations;
