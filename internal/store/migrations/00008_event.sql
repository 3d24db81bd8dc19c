-- +goose Up

-- An event of a session has an id, so that one whose write was not confirmed can be
-- written again. Those from before have none.
ALTER TABLE stream_event ADD COLUMN id KEYTEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX stream_event_id ON stream_event (session, id) WHERE id <> '';

-- What a message is known by where it goes, which may see it twice.
ALTER TABLE message ADD COLUMN uid KEYTEXT NOT NULL DEFAULT '';
