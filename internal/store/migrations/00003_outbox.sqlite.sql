-- +goose Up

-- The one table whose text differs: the engines have no common way to say "count up
-- and never use a number twice".
CREATE TABLE message (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    subject    TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    created_ms BIGINT  NOT NULL
);
