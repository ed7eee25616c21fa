-- How often an operator has adopted the partition: a group that was read before the last time is another log's, though it may begin where this
-- one's position is by now.
ALTER TABLE inbox_position ADD COLUMN adoptions int NOT NULL DEFAULT 0;
