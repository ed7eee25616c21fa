-- The ledger of Sluice.
--
-- Hot tables have the key (no, day): `no` is unique in the whole ledger, `day` counts days since 1970-01-01 UTC on the
-- database's clock at intake. They are partitioned by day, so that a finished day is dropped and never deleted row by row.
-- Each partition has its own primary key, `no` alone: with the day in an index, one that every row of a partition shares, a plan made
-- while a table is young may walk the whole day for each group instead of looking up the group's rows. Children carry their
-- parent's day. There are no foreign keys between hot tables: a checker proves them instead.
-- Times are milliseconds since 1970-01-01 UTC; money is nano-dollars. No index on a column that changes, so updates stay HOT.

CREATE SEQUENCE ledger_number INCREMENT BY 1000 MINVALUE 1000 START WITH 1000;

CREATE TABLE tenants (
  no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE
);

-- One row a router process life. `session_no` is the fencing token: never used again.
CREATE TABLE routers (
  session_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- No unfinished attempt of this session has a lower number: where a recovery begins to read.
  low_mark bigint NOT NULL DEFAULT 0,
  ended_at timestamptz,
  -- Declared dead by others; false: it ended in order.
  died boolean NOT NULL DEFAULT false,
  recovered_at timestamptz
) WITH (fillfactor = 50);

CREATE TABLE inbox_position (
  cluster text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  next bigint NOT NULL,
  witness bytea,
  last_group bigint,
  PRIMARY KEY (cluster, topic, partition)
) WITH (fillfactor = 50);

-- Who began to read a partition where, so that a record that ends its reader is found out. Written at an assignment; `marked`, record by
-- record, only under suspicion. Both count for one position: when that has moved they say nothing.
CREATE TABLE inbox_turns (
  cluster text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  next bigint NOT NULL,
  turns integer NOT NULL,
  session_no bigint NOT NULL,
  marked bigint,
  marked_by bigint,
  PRIMARY KEY (cluster, topic, partition)
) WITH (fillfactor = 50);

-- Partitions whose log was not the one that was read, as a router found them; for people. Says nothing once the position is another.
CREATE TABLE inbox_stops (
  cluster text NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  cause text NOT NULL,
  next bigint NOT NULL,
  session_no bigint NOT NULL,
  at_ms bigint NOT NULL,
  PRIMARY KEY (cluster, topic, partition)
);

-- The only unique place for job ids; `no`, `day` name the newest generation.
CREATE TABLE job_key (
  tenant_no integer NOT NULL,
  id_hash bytea NOT NULL,
  body_hash bytea NOT NULL,
  day integer NOT NULL,
  no bigint NOT NULL,
  PRIMARY KEY (tenant_no, id_hash)
) PARTITION BY HASH (tenant_no, id_hash);
CREATE TABLE job_key_0 PARTITION OF job_key FOR VALUES WITH (MODULUS 4, REMAINDER 0);
CREATE TABLE job_key_1 PARTITION OF job_key FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE job_key_2 PARTITION OF job_key FOR VALUES WITH (MODULUS 4, REMAINDER 2);
CREATE TABLE job_key_3 PARTITION OF job_key FOR VALUES WITH (MODULUS 4, REMAINDER 3);

CREATE TABLE jobs (
  day integer NOT NULL,
  no bigint NOT NULL,
  tenant_no integer NOT NULL,
  job_id bytea NOT NULL,
  generation integer NOT NULL,
  state text NOT NULL CHECK (state IN ('active', 'succeeded', 'failed', 'expired', 'cancelled')),
  execution_day integer,
  execution_no bigint,
  priority smallint NOT NULL,
  deadline_ms bigint NOT NULL,
  accepted_ms bigint NOT NULL,
  ended_ms bigint,
  failure_code text,
  -- topic:partition:offset of the record; a second record with the same is a redelivery.
  source text NOT NULL,
  envelope text NOT NULL,
  record_value bytea,
  record_headers text
) PARTITION BY RANGE (day);
CREATE INDEX jobs_execution ON jobs (execution_no);

CREATE TABLE executions (
  day integer NOT NULL,
  no bigint NOT NULL,
  tenant_no integer NOT NULL,
  key bytea,
  lane smallint NOT NULL DEFAULT 0,
  state text NOT NULL CHECK (state IN ('ready', 'running', 'in_doubt', 'succeeded', 'failed', 'dropped')),
  -- Who holds it while it runs; null while its attempt is a line of a batch, which no session holds.
  session_no bigint,
  attempt_no bigint,
  attempts integer NOT NULL DEFAULT 0,
  route_index integer NOT NULL DEFAULT 0,
  format text NOT NULL,
  policy text NOT NULL,
  request bytea NOT NULL,
  request_gzip boolean NOT NULL,
  cache_write boolean NOT NULL,
  max_cost_nano bigint,
  -- Of the job that opened it; `direct` once a job that must not wait for a batch has joined.
  mode text NOT NULL DEFAULT 'auto' CHECK (mode IN ('auto', 'direct', 'batch')),
  -- Why it was given to a batch or to a call of its own, as JSON; null where there was nothing to choose.
  decision text,
  history text NOT NULL DEFAULT '[]',
  -- The last of its attempts that were lines of a batch and given back unrun, for people; null: none.
  returned bigint[],
  answer bytea,
  answer_gzip boolean,
  answer_facts text,
  failure text,
  ended_ms bigint
) PARTITION BY RANGE (day);

-- The newest execution of a request key: while that is unfinished identical requests join it, after that the exact cache's pointer
-- to its answer. Written once: which of the two it is, the execution says. Deleted when one ends without an answer that may be shared.
CREATE TABLE execution_key (
  tenant_no integer NOT NULL,
  key bytea NOT NULL,
  lane smallint NOT NULL,
  execution_day integer NOT NULL,
  execution_no bigint NOT NULL,
  PRIMARY KEY (tenant_no, key, lane)
) WITH (fillfactor = 80);

CREATE TABLE attempts (
  day integer NOT NULL,
  no bigint NOT NULL,
  execution_no bigint NOT NULL,
  number integer NOT NULL,
  session_no bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('sending', 'batched', 'in_doubt', 'settled', 'answered', 'failed', 'not_sent')),
  -- The batch that it is a line of; null: a call of its own.
  batch_no bigint,
  -- The line of a batch beside which it is made, to rescue a deadline; null: no rescue, or one that was never sent.
  supersedes bigint,
  account text NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  route_index integer NOT NULL,
  max_nano bigint NOT NULL,
  started_ms bigint NOT NULL,
  ended_ms bigint,
  -- When its doubt was settled by policy: from then on the attempt has a cost record.
  settled_ms bigint,
  outcome text,
  request_id text,
  model_version text,
  input_tokens bigint,
  cached_input_tokens bigint,
  output_tokens bigint,
  nano_usd bigint
) PARTITION BY RANGE (day);

CREATE INDEX attempts_batch ON attempts (batch_no, no) WHERE batch_no IS NOT NULL;
-- An execution is rescued once.
CREATE UNIQUE INDEX attempts_rescue ON attempts (execution_no, day) WHERE supersedes IS NOT NULL;

-- What waits: taken by deleting the row. `expires_ms` is the nearest deadline of a waiting job, `bytes` the length of the request as
-- stored: back-pressure adds it up every second, and asks no other table for it.
CREATE TABLE ready (
  day integer NOT NULL,
  no bigint NOT NULL,
  priority smallint NOT NULL,
  run_at_ms bigint NOT NULL,
  expires_ms bigint NOT NULL,
  bytes integer NOT NULL,
  waits_for text NOT NULL,
  PRIMARY KEY (no)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX ready_order ON ready (priority DESC, run_at_ms);
CREATE INDEX ready_expiry ON ready (expires_ms);
CREATE INDEX ready_budget ON ready (no) WHERE waits_for = 'budget';

-- What waits for a batch: the line that an execution will be. Bound by deleting the row, or moved to `ready` when `look_at_ms` or a
-- job's deadline has come. `bytes` is the length of the request as stored, as in `ready`; `line_bytes` is without id and line break.
CREATE TABLE batch_ready (
  day integer NOT NULL,
  no bigint NOT NULL,
  pool text NOT NULL,
  tenant_no integer NOT NULL,
  priority smallint NOT NULL,
  added_ms bigint NOT NULL,
  look_at_ms bigint NOT NULL,
  expires_ms bigint NOT NULL,
  bytes integer NOT NULL,
  -- Tries so far.
  attempts integer NOT NULL,
  account text NOT NULL,
  provider text NOT NULL,
  model text NOT NULL,
  way text NOT NULL,
  line_format text NOT NULL,
  route_index integer NOT NULL,
  line_bytes integer NOT NULL,
  line_tokens bigint NOT NULL,
  embedding_inputs integer NOT NULL,
  prefix bigint NOT NULL,
  max_nano bigint NOT NULL,
  PRIMARY KEY (no)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX batch_ready_look ON batch_ready (least(look_at_ms, expires_ms));

-- A batch of ours at a provider. `facts` holds the rest of it as JSON; the columns are what statements ask for.
CREATE TABLE batches (
  no bigint PRIMARY KEY,
  version integer NOT NULL DEFAULT 0,
  state text NOT NULL CHECK (state IN ('building', 'sealed', 'uploading', 'uploaded', 'creating', 'submitted', 'cancelling', 'ended',
    'ingesting', 'done', 'failed')),
  -- Who works on it; once that session has ended, anybody may.
  session_no bigint,
  account text NOT NULL,
  pool text NOT NULL,
  model text,
  lines integer NOT NULL,
  tokens bigint NOT NULL,
  created_ms bigint NOT NULL,
  submitted_ms bigint,
  expected_ms bigint,
  ended_ms bigint,
  -- When it is looked at again; null: nothing is left to be done.
  next_at_ms bigint,
  -- The nearest deadline of a job whose line is in it; null: none is left.
  nearest_deadline_ms bigint,
  provider_batch_id text,
  facts text NOT NULL
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX batches_at_provider ON batches (account, provider_batch_id) WHERE provider_batch_id IS NOT NULL;
-- Batches whose lines count at their account, or still wait for their outcomes.
CREATE INDEX batches_open ON batches (account) WHERE state NOT IN ('done', 'failed');
CREATE INDEX batches_due ON batches (next_at_ms) WHERE next_at_ms IS NOT NULL;

-- Each intent to create a batch at a provider, stored before the call. `settled`: what it came to; null: not known yet.
CREATE TABLE batch_creates (
  batch_no bigint NOT NULL,
  number integer NOT NULL,
  account text NOT NULL,
  mark text NOT NULL,
  file_id text,
  lines integer NOT NULL,
  intent_ms bigint NOT NULL,
  settled text CHECK (settled IN ('created', 'refused', 'absent', 'not_sent')),
  provider_batch_id text,
  PRIMARY KEY (batch_no, number)
);
CREATE INDEX batch_creates_account ON batch_creates (account, intent_ms);

-- One row an account with batches: locked while one is opened, so that limits over its batches hold. `tokens_max`: what a refusal taught,
-- until `hold_until_ms`.
CREATE TABLE batch_accounts (
  account text PRIMARY KEY,
  tokens_max bigint,
  hold_until_ms bigint NOT NULL DEFAULT 0
);

-- Money against its limit, which the config says: one row a tenant and window, `since_day` its first day (0: all time). `reserved_nano` is
-- the sum over the reservations of the row. The last rows that a transaction locks for others, in the order of their keys.
CREATE TABLE budgets (
  tenant_no integer NOT NULL,
  since_day integer NOT NULL,
  settled_nano bigint NOT NULL DEFAULT 0,
  reserved_nano bigint NOT NULL DEFAULT 0 CHECK (reserved_nano >= 0),
  PRIMARY KEY (tenant_no, since_day)
) WITH (fillfactor = 50);

-- What attempts may cost whose outcome is not known, those in doubt included. Deleted with the outcome; only of tenants with a budget.
CREATE TABLE reservations (
  attempt_no bigint PRIMARY KEY,
  tenant_no integer NOT NULL,
  since_day integer NOT NULL,
  max_nano bigint NOT NULL CHECK (max_nano > 0)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- `no` is the attempt's number for a charge, the job's for a zero record (shared, cached), its own for an adjustment.
CREATE TABLE costs (
  day integer NOT NULL,
  no bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('charge', 'adjustment')),
  billing text NOT NULL CHECK (billing IN ('charged', 'shared', 'cached', 'waste', 'in_doubt', 'suspect')),
  tenant_no integer NOT NULL,
  job_day integer,
  job_no bigint,
  attempt_no bigint,
  account text NOT NULL,
  model text NOT NULL,
  nano_usd bigint,
  max_nano bigint NOT NULL,
  list_nano bigint NOT NULL,
  CHECK ((nano_usd IS NULL) = (billing IN ('in_doubt', 'suspect')))
) PARTITION BY RANGE (day);

-- Records on their way to Kafka, rendered once; a repeat after a kill has the same bytes. Never updated.
CREATE TABLE outbox (
  day integer NOT NULL,
  no bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('result', 'cost', 'dead_letter', 'event', 'repeat')),
  topic text NOT NULL,
  partition integer,
  key bytea,
  headers text NOT NULL,
  value bytea
) PARTITION BY RANGE (day);

-- One row a group and topic, deleted after the acknowledgement.
CREATE TABLE outbox_ready (
  seq bigint PRIMARY KEY,
  session_no bigint NOT NULL,
  topic text NOT NULL,
  -- When its records were written; never changed, since it bounds how long they wait for a topic that does not take them.
  at_ms bigint NOT NULL,
  -- The sweep leaves the row alone until then: a router has just taken it over, or its record is held back.
  after_ms bigint NOT NULL DEFAULT 0,
  kinds text[] NOT NULL,
  nos bigint[] NOT NULL,
  days integer[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Another record with a known id and the same body, while the job had not ended: its result is sent there too.
CREATE TABLE repeats (
  no bigint PRIMARY KEY,
  job_day integer NOT NULL,
  job_no bigint NOT NULL,
  envelope text NOT NULL
);
CREATE INDEX repeats_job ON repeats (job_no);

-- Ended executions whose finish had more waiting jobs than one transaction answers; the sweep answers the rest.
CREATE TABLE unanswered (
  execution_no bigint PRIMARY KEY,
  execution_day integer NOT NULL
);

CREATE TABLE dead_letters (
  day integer NOT NULL,
  no bigint NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded', 'parked')),
  tenant_no integer,
  job_id bytea,
  job_day integer,
  job_no bigint,
  generation integer,
  code text NOT NULL,
  message text NOT NULL,
  failed_ms bigint NOT NULL,
  topic text NOT NULL,
  partition integer NOT NULL,
  source_offset bigint NOT NULL,
  replay_count integer NOT NULL DEFAULT 0,
  record_value bytea,
  record_headers text NOT NULL,
  -- The record in the outbox that its topic does not take; only with REPLY_UNDELIVERABLE.
  outbox_kind text,
  outbox_no bigint,
  outbox_day integer,
  PRIMARY KEY (no)
);
CREATE INDEX dead_letters_open ON dead_letters (failed_ms);
CREATE INDEX dead_letters_undeliverable ON dead_letters (outbox_no) WHERE outbox_no IS NOT NULL;

-- A replay exists once for each generation it ended, whoever asks.
CREATE TABLE replays (
  job_day integer NOT NULL,
  job_no bigint NOT NULL,
  by_whom text NOT NULL,
  at_ms bigint NOT NULL,
  new_day integer NOT NULL,
  new_no bigint NOT NULL,
  PRIMARY KEY (job_no, job_day)
);

-- The database refuses what the transition tables refuse. The condition is evaluated without a function call on the usual path.
CREATE FUNCTION refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'refused transition of %: % -> %', TG_TABLE_NAME, OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER jobs_transition BEFORE UPDATE OF state ON jobs FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('active>succeeded', 'active>failed', 'active>expired', 'active>cancelled'))
EXECUTE FUNCTION refuse_transition();

CREATE TRIGGER executions_transition BEFORE UPDATE OF state ON executions FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('ready>running', 'ready>succeeded', 'ready>failed', 'ready>dropped',
   'running>ready', 'running>in_doubt', 'running>succeeded', 'running>failed',
   'in_doubt>ready', 'in_doubt>running', 'in_doubt>succeeded', 'in_doubt>failed', 'in_doubt>dropped'))
EXECUTE FUNCTION refuse_transition();

CREATE TRIGGER attempts_transition BEFORE UPDATE OF state ON attempts FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('sending>answered', 'sending>failed', 'sending>not_sent', 'sending>in_doubt',
   'batched>sending', 'batched>answered', 'batched>failed', 'batched>not_sent',
   'in_doubt>answered', 'in_doubt>failed', 'in_doubt>settled', 'settled>answered', 'settled>failed'))
EXECUTE FUNCTION refuse_transition();

CREATE TRIGGER batches_transition BEFORE UPDATE OF state ON batches FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('building>sealed', 'building>failed', 'sealed>uploading', 'sealed>creating', 'sealed>submitted', 'sealed>failed', 'uploading>uploaded', 'uploading>sealed',
   'uploading>failed', 'uploaded>creating', 'uploaded>sealed', 'uploaded>failed', 'creating>submitted', 'creating>sealed', 'creating>failed',
   'submitted>cancelling', 'submitted>ended', 'submitted>done', 'submitted>failed', 'cancelling>ended', 'cancelling>done',
   'cancelling>failed', 'ended>ingesting',
   'ingesting>done'))
EXECUTE FUNCTION refuse_transition();

-- Creates the partitions of the hot tables for `from_day` to `to_day`. Repeating it does nothing.
CREATE FUNCTION create_day_partitions(from_day integer, to_day integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  hot text;
  d integer;
BEGIN
  FOREACH hot IN ARRAY ARRAY['jobs', 'executions', 'attempts', 'costs', 'outbox'] LOOP
    FOR d IN from_day..to_day LOOP
      IF to_regclass(format('%I', hot || '_d' || d)) IS NULL THEN
        -- Rows of ordinary size stay whole in their page: the side table for long values costs two more rows and an index entry.
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s) WITH (fillfactor = %s, toast_tuple_target = 8160)',
          hot || '_d' || d, hot, d, d + 1, CASE WHEN hot IN ('costs', 'outbox') THEN 100 ELSE 80 END);
        EXECUTE format('ALTER TABLE %I ADD PRIMARY KEY (%s)', hot || '_d' || d, CASE hot WHEN 'outbox' THEN 'no, kind' ELSE 'no' END);
        IF hot = 'jobs' THEN
          EXECUTE format('ALTER TABLE %I ALTER record_value SET STORAGE EXTERNAL', hot || '_d' || d);
        ELSIF hot = 'executions' THEN
          EXECUTE format('ALTER TABLE %I ALTER request SET STORAGE EXTERNAL, ALTER answer SET STORAGE EXTERNAL', hot || '_d' || d);
        ELSIF hot = 'outbox' THEN
          EXECUTE format('ALTER TABLE %I ALTER value SET STORAGE EXTERNAL', hot || '_d' || d);
        END IF;
      END IF;
    END LOOP;
  END LOOP;
END $$;

SELECT create_day_partitions(
  floor(extract(epoch FROM now()) / 86400)::integer - 1,
  floor(extract(epoch FROM now()) / 86400)::integer + 14);
