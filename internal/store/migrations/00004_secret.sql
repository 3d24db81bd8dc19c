-- +goose Up

-- Random keys that all nodes share, such as the one that signs page tokens.
CREATE TABLE secret (
    name  KEYTEXT NOT NULL PRIMARY KEY,
    value KEYTEXT NOT NULL -- hex
);
