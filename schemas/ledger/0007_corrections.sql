-- The budgets in which an ended attempt is settled with a cost that a bill may still correct: with its maximum since its usage is suspect, or
-- with what was said when its doubt was resolved. Null: none, or its cost is no question any more. Of attempts that ended before this, nobody
-- knows in which windows they were counted; those stay as they are.
ALTER TABLE attempts ADD COLUMN counted_in integer[];
