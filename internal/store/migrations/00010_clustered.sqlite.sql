-- +goose Up

-- Resources in the order of their ARNs, and so those of an account, region and type side
-- by side in the order of their ids: a page of them is a few pages of the file, and needs
-- no index of its own. Other indexes hold only the rows that are found by them: who has a
-- parent is in no list by name, and few have a parent or a lookup.
CREATE TABLE resource_clustered (
    arn        KEYTEXT NOT NULL PRIMARY KEY,
    service    KEYTEXT NOT NULL,
    type       KEYTEXT NOT NULL,
    account    KEYTEXT NOT NULL,
    region     KEYTEXT NOT NULL,
    id         KEYTEXT NOT NULL,
    parent     KEYTEXT REFERENCES resource_clustered (arn) ON DELETE CASCADE,
    name       KEYTEXT NOT NULL,
    lookup     KEYTEXT, -- secondary key; NULL for none, so that many rows have none
    body       TEXT    NOT NULL,
    tags       TEXT    NOT NULL, -- JSON object of strings
    links      TEXT    NOT NULL, -- JSON object: relation -> ARN; table link indexes it
    created_ms BIGINT  NOT NULL,
    version    BIGINT  NOT NULL
) WITHOUT ROWID;
INSERT INTO resource_clustered
SELECT arn, service, type, account, region, id, parent, name, lookup, body, tags, links, created_ms, version
FROM resource ORDER BY arn;

CREATE TABLE link_clustered (
    source   KEYTEXT NOT NULL REFERENCES resource_clustered (arn) ON DELETE CASCADE,
    relation KEYTEXT NOT NULL,
    target   KEYTEXT NOT NULL,
    service  KEYTEXT NOT NULL, -- these five are the source's, so that a page of its
    type     KEYTEXT NOT NULL, -- scope comes from the index in order
    account  KEYTEXT NOT NULL,
    region   KEYTEXT NOT NULL,
    id       KEYTEXT NOT NULL,
    PRIMARY KEY (source, relation)
) WITHOUT ROWID;
INSERT INTO link_clustered
SELECT source, relation, target, service, type, account, region, id FROM link ORDER BY source, relation;

DROP TABLE link; -- first: it refers to the other
DROP TABLE resource;
ALTER TABLE resource_clustered RENAME TO resource;
ALTER TABLE link_clustered RENAME TO link;
CREATE INDEX resource_name ON resource (service, type, account, region, name, id) WHERE parent IS NULL;
CREATE INDEX resource_parent ON resource (parent, type, id) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX resource_lookup ON resource (service, type, lookup) WHERE lookup IS NOT NULL;
CREATE INDEX link_target ON link (target, relation, service, type, account, region, id);
