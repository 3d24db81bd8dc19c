-- +goose Up

-- KEYTEXT is text in byte order, whatever the server's locale: a page ends at the
-- same row on both engines, and no index depends on the C library's collation tables.
-- SQLite needs no such type: any column type whose name contains TEXT is text there,
-- and byte order is its default.
CREATE DOMAIN KEYTEXT AS TEXT COLLATE "C";
