-- Circuit breakers of provider accounts and their models, as far as routers share them: a row for each that has ever opened. Written only
-- when one opens, is tried or closes, if `version` is still the one that was decided on; read by each router every couple of seconds.
CREATE TABLE breakers (
  account text NOT NULL,
  -- '' stands for the whole account.
  model text NOT NULL,
  version integer NOT NULL,
  state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
  openings integer NOT NULL CHECK (openings >= 0),
  because text NOT NULL,
  -- Times of this database's clock: when it opened, when a trial may be made or the lease of one ends, and the last change.
  since_ms bigint NOT NULL,
  until_ms bigint NOT NULL,
  changed_ms bigint NOT NULL,
  session_no bigint NOT NULL,
  PRIMARY KEY (account, model)
);
