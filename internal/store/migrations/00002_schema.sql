-- +goose Up

-- Times are milliseconds since 1970 UTC; 0 means "not yet" where a column allows that.
-- Bodies are JSON and opaque here: what a query filters by has a column of its own.

CREATE TABLE resource (
    arn        KEYTEXT NOT NULL PRIMARY KEY,
    service    KEYTEXT NOT NULL,
    type       KEYTEXT NOT NULL,
    account    KEYTEXT NOT NULL,
    region     KEYTEXT NOT NULL,
    id         KEYTEXT NOT NULL,
    parent     KEYTEXT REFERENCES resource (arn) ON DELETE CASCADE,
    name       KEYTEXT NOT NULL,
    lookup     KEYTEXT, -- secondary key; NULL for none, so that many rows have none
    body       TEXT    NOT NULL,
    tags       TEXT    NOT NULL, -- JSON object of strings
    links      TEXT    NOT NULL, -- JSON object: relation -> ARN; table link indexes it
    created_ms BIGINT  NOT NULL,
    version    BIGINT  NOT NULL
);
CREATE INDEX resource_scope ON resource (service, type, account, region, id);
CREATE INDEX resource_name ON resource (service, type, account, region, name, id);
CREATE INDEX resource_parent ON resource (parent, type, id);
CREATE UNIQUE INDEX resource_lookup ON resource (service, type, lookup);

-- A link's target need not exist, and deleting it leaves the link: whether a target
-- may go while something points at it is a rule of the service.
CREATE TABLE link (
    source   KEYTEXT NOT NULL REFERENCES resource (arn) ON DELETE CASCADE,
    relation KEYTEXT NOT NULL,
    target   KEYTEXT NOT NULL,
    service  KEYTEXT NOT NULL, -- these five are the source's, so that a page of its
    type     KEYTEXT NOT NULL, -- scope comes from the index in order
    account  KEYTEXT NOT NULL,
    region   KEYTEXT NOT NULL,
    id       KEYTEXT NOT NULL,
    PRIMARY KEY (source, relation)
);
CREATE INDEX link_target ON link (target, relation, service, type, account, region, id);

-- A row stays when its lease ends, because the generation must go on growing.
CREATE TABLE lease (
    channel    KEYTEXT NOT NULL PRIMARY KEY,
    node       KEYTEXT NOT NULL, -- '' when released
    origin     TEXT    NOT NULL,
    generation BIGINT  NOT NULL,
    expires_ms BIGINT  NOT NULL
);
CREATE INDEX lease_node ON lease (node);

-- No reference to resource: the history of a channel outlives the channel.
CREATE TABLE stream_session (
    id         KEYTEXT NOT NULL PRIMARY KEY,
    channel    KEYTEXT NOT NULL,
    account    KEYTEXT NOT NULL,
    region     KEYTEXT NOT NULL,
    node       KEYTEXT NOT NULL,
    generation BIGINT  NOT NULL,
    created_ms BIGINT  NOT NULL,
    started_ms BIGINT  NOT NULL,
    ended_ms   BIGINT  NOT NULL,
    snapshot   TEXT    NOT NULL,
    ingest     TEXT    NOT NULL
);
CREATE INDEX stream_session_channel ON stream_session (channel, created_ms, id);
CREATE INDEX stream_session_open ON stream_session (node, id) WHERE ended_ms = 0;

CREATE TABLE stream_event (
    session KEYTEXT NOT NULL REFERENCES stream_session (id) ON DELETE CASCADE,
    n       BIGINT  NOT NULL, -- counts up within the session
    name    TEXT    NOT NULL,
    type    TEXT    NOT NULL,
    code    TEXT    NOT NULL,
    time_ms BIGINT  NOT NULL,
    PRIMARY KEY (session, n)
);

CREATE TABLE access_key (
    id         KEYTEXT NOT NULL PRIMARY KEY,
    secret     TEXT    NOT NULL, -- in clear: SigV4 computes with it
    account    KEYTEXT NOT NULL,
    principal  TEXT    NOT NULL,
    admin      BOOLEAN NOT NULL,
    policies   TEXT    NOT NULL,
    created_ms BIGINT  NOT NULL
);
CREATE INDEX access_key_account ON access_key (account, id);
