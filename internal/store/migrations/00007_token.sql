-- +goose Up

-- Playback tokens that are good for one use, and had it. They go when no clock could
-- take them for valid any more.
CREATE TABLE used_token (
    channel    KEYTEXT NOT NULL,
    id         KEYTEXT NOT NULL, -- the token's single-use UUID
    expires_ms BIGINT  NOT NULL,
    PRIMARY KEY (channel, id)
);
CREATE INDEX used_token_expires ON used_token (expires_ms);
