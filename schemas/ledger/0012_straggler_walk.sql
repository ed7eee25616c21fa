-- The sweep answers what a finish has noted in `unanswered`. It looks by itself, too, for jobs that wait for an execution which has ended, as a
-- bug or a fault of the server would leave them: all routers together walk along the jobs, some rows every few seconds, in the order of their
-- key. An index of the active jobs would be quicker to ask, and each end of a job would have to change it.
CREATE TABLE straggler_walk (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  -- The last job that was looked at; the walk goes on behind it.
  day integer NOT NULL,
  no bigint NOT NULL,
  -- The first day on which this round has found a job that has not ended; null: none yet. The next round begins there.
  open_day integer,
  looked_ms bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO straggler_walk (day, no, looked_ms)
  SELECT min(substring(c.relname FROM '[0-9]+$')::integer), 0, 0
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'jobs'::regclass;
