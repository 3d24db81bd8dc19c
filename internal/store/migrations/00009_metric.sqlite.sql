-- +goose Up

-- What was measured of channels, in blocks of many numbers. No reference to resource:
-- these go by time. The text differs in the type of the body.
CREATE TABLE metric_block (
    account      KEYTEXT NOT NULL,
    region       KEYTEXT NOT NULL,
    channel      KEYTEXT NOT NULL, -- resource id; '' for all channels
    start_ms     BIGINT  NOT NULL,
    writer       KEYTEXT NOT NULL, -- a process; '' for what was merged
    resolution_s BIGINT  NOT NULL,
    body         BLOB    NOT NULL,
    PRIMARY KEY (account, region, channel, start_ms, writer)
);
CREATE INDEX metric_block_age ON metric_block (resolution_s, start_ms);
