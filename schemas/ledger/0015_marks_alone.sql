-- Where other routers die as well, a record is taken for one that ends its readers only after both had marked nothing else: `earlier_alone` says
-- that of the first.
ALTER TABLE inbox_turns ADD COLUMN earlier_alone boolean;
