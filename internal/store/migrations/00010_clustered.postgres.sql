-- +goose Up

-- Resources of an account, region and type stand side by side in the index by ARN, in the
-- order of their ids, so that a page of them needs no index of its own. Other indexes
-- hold only the rows that are found by them: who has a parent is in no list by name, and
-- few have a parent or a lookup.
DROP INDEX resource_scope, resource_name, resource_parent, resource_lookup;
CREATE INDEX resource_name ON resource (service, type, account, region, name, id) WHERE parent IS NULL;
CREATE INDEX resource_parent ON resource (parent, type, id) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX resource_lookup ON resource (service, type, lookup) WHERE lookup IS NOT NULL;
