-- +goose Up

-- Users and roles that are not in the policy directory.
CREATE TABLE principal (
    arn        KEYTEXT NOT NULL PRIMARY KEY,
    account    KEYTEXT NOT NULL,
    body       TEXT    NOT NULL, -- JSON: tags, policies, trust
    created_ms BIGINT  NOT NULL
);
CREATE INDEX principal_account ON principal (account, arn);

-- The keys of a principal go with it.
CREATE INDEX access_key_principal ON access_key (principal);
