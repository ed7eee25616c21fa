-- What routers look for every second or two is found without passing over what is not looked for, however much waits.

-- The first due row of a tenant. A claim can't go by it, since it takes rows of a limit that is a parameter: it needs the order of
-- `ready_turn`, and a plan made while the table was small must not take all that is due by this index and sort it.
CREATE INDEX ready_due ON ready (tenant_no, run_at_ms) WHERE limit_name = '';
-- The rows of a session for a topic, so that those of other routers that live are not looked at one by one; by an expression, or the order
-- would be a reason to walk all rows by their key.
CREATE INDEX outbox_ready_part ON outbox_ready (session_no, topic, (seq + 0));
