-- A batch whose creation was given up as absent may turn up at its provider: it is submitted then, and its lines are out after all.
DROP TRIGGER attempts_transition ON attempts;
CREATE TRIGGER attempts_transition BEFORE UPDATE OF state ON attempts FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('sending>answered', 'sending>failed', 'sending>not_sent', 'sending>in_doubt',
   'batched>sending', 'batched>answered', 'batched>failed', 'batched>not_sent', 'not_sent>batched',
   'in_doubt>answered', 'in_doubt>failed', 'in_doubt>settled', 'settled>answered', 'settled>failed'))
EXECUTE FUNCTION refuse_transition();

DROP TRIGGER batches_transition ON batches;
CREATE TRIGGER batches_transition BEFORE UPDATE OF state ON batches FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('building>sealed', 'building>failed', 'sealed>uploading', 'sealed>creating', 'sealed>submitted', 'sealed>failed', 'uploading>uploaded', 'uploading>sealed',
   'uploading>failed', 'uploaded>creating', 'uploaded>sealed', 'uploaded>failed', 'creating>submitted', 'creating>sealed', 'creating>failed',
   'submitted>cancelling', 'submitted>ended', 'submitted>done', 'submitted>failed', 'cancelling>ended', 'cancelling>done',
   'cancelling>failed', 'ended>ingesting', 'ingesting>done', 'failed>submitted'))
EXECUTE FUNCTION refuse_transition();
