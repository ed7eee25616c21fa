-- What an account's day has seen so far, asked by routers whose limits by the day have been forgotten. Attempts are written in the order of
-- their time, so a summary of each stretch of pages is enough, and costs a new row next to nothing.
CREATE INDEX attempts_started ON attempts USING brin (started_ms) WITH (pages_per_range = 32, autosummarize = on);
