-- A record is taken for one that ends its readers after two of them died with it marked: the first among others, the second with nothing else.
-- Marks are of the records from `marked` to before `marked_upto`; `earlier_by` had marked these too, up to `earlier_upto`. If it beat after
-- another had come to them, at `earlier_followed_at`, it had only lost the partition.
ALTER TABLE inbox_turns ADD COLUMN marked_upto bigint,
  ADD COLUMN earlier_by bigint, ADD COLUMN earlier_upto bigint, ADD COLUMN earlier_followed_at timestamptz;
