-- +goose Up

-- Whether something went wrong in a session is shown in lists, and outlives the events
-- that say so.
ALTER TABLE stream_session ADD COLUMN failed BOOLEAN NOT NULL DEFAULT FALSE;

-- Sessions go when their time has passed.
CREATE INDEX stream_session_ended ON stream_session (ended_ms) WHERE ended_ms <> 0;

-- Viewers whose sessions were revoked. No reference to resource: these go by time.
CREATE TABLE revocation (
    channel    KEYTEXT NOT NULL,
    viewer     KEYTEXT NOT NULL,
    version    BIGINT  NOT NULL, -- session versions up to this one are revoked
    revoked_ms BIGINT  NOT NULL,
    PRIMARY KEY (channel, viewer)
);
CREATE INDEX revocation_time ON revocation (revoked_ms);
