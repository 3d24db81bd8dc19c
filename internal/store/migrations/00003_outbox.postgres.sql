-- +goose Up

-- The one table whose text differs: the engines have no common way to say "count up
-- and never use a number twice".
CREATE TABLE message (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject    TEXT   NOT NULL,
    body       BYTEA  NOT NULL,
    created_ms BIGINT NOT NULL
);
