-- A dead letter is decided once: replayed or discarded. What fails again after its replay gets a letter of its own.
CREATE TRIGGER dead_letters_transition BEFORE UPDATE OF state ON dead_letters FOR EACH ROW
WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN
  ('open>replayed', 'open>discarded', 'parked>replayed', 'parked>discarded'))
EXECUTE FUNCTION refuse_transition();
