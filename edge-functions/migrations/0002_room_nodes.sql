-- Ids of the media nodes that people of a call try, in this order, a space between two: whoever joins later looks for
-- the others where they are.
ALTER TABLE room ADD COLUMN nodes TEXT NOT NULL DEFAULT '';
