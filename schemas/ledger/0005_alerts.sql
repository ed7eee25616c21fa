-- Alerts: one row an alert, one look for all routers at a time. Small tables; none is written on a job's way.

-- One row: who updates it looks for all. `memory`: what is remembered from one look to the next, as JSON.
CREATE TABLE alert_watch (
  no smallint PRIMARY KEY DEFAULT 1 CHECK (no = 1),
  looked_at_ms bigint NOT NULL,
  memory text
) WITH (fillfactor = 50);
INSERT INTO alert_watch (looked_at_ms) VALUES (0);

-- What routers counted since the last look, as JSON; the look that adds it up deletes it.
CREATE TABLE alert_tallies (
  no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_no bigint NOT NULL,
  tally text NOT NULL
);

CREATE TABLE alerts (
  rule text NOT NULL,
  -- Within the rule, such as an account's name; empty: all of the gateway.
  subject text NOT NULL,
  version integer NOT NULL,
  state text NOT NULL CHECK (state IN ('clear', 'raised')),
  since_ms bigint NOT NULL,
  turning_since_ms bigint,
  was_raised boolean NOT NULL,
  -- The sentence and its facts, as JSON.
  facts text NOT NULL,
  PRIMARY KEY (rule, subject)
) WITH (fillfactor = 50);

-- Settled cost by quarter of an hour, five weeks of it. Quarters that cost nothing have no row.
CREATE TABLE alert_spend (
  quarter bigint PRIMARY KEY,
  nano_usd numeric NOT NULL
) WITH (fillfactor = 50);

-- What the webhook has still to hear; `no` is the event's number.
CREATE TABLE alert_notices (
  no bigint PRIMARY KEY,
  event_id text NOT NULL,
  body text NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  created_ms bigint NOT NULL,
  next_at_ms bigint NOT NULL,
  last_error text
) WITH (fillfactor = 50);

-- Calls in doubt in the queue, and cost that nobody knows. Few rows are in these.
CREATE INDEX ready_doubt ON ready (no) WHERE waits_for = 'doubt';
CREATE INDEX costs_open ON costs (attempt_no) WHERE nano_usd IS NULL;
