-- Instants are milliseconds since 1970-01-01T00:00:00Z; amounts are decimal text, exact; units are whole numbers.

-- One row for each setting that all processes on this database share.
-- 'revision' grows with every change to keys, customers, tiers or the time zone: caches compare it.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO settings (name, value) VALUES ('revision', 1), ('time_zone', 'UTC');

CREATE TABLE tiers (
    id                         TEXT PRIMARY KEY,
    position                   INTEGER NOT NULL, -- from the lowest tier to the highest
    api_requests_per_month     INTEGER,          -- NULL: without a limit
    agent_executions_per_month INTEGER,          -- NULL: without a limit
    definition                 TEXT NOT NULL     -- the tier as the caller gave it, as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE customers (
    id                 TEXT PRIMARY KEY,
    tier_id            TEXT,
    subscription_id    TEXT,
    stripe_customer_id TEXT,
    suspended          INTEGER NOT NULL,
    created_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id          TEXT PRIMARY KEY,
    hash        BLOB NOT NULL UNIQUE, -- SHA-256 of the secret, which is stored nowhere
    customer_id TEXT NOT NULL,
    name        TEXT,
    prefix      TEXT NOT NULL,        -- the first characters, for people to recognise a key by
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_customer ON api_keys (customer_id, created_at);

CREATE TABLE events (
    sequence        INTEGER PRIMARY KEY, -- in the order of recording
    customer_id     TEXT NOT NULL,
    id              TEXT,                -- the caller's id, where there is one
    meter           TEXT NOT NULL,
    units           INTEGER NOT NULL,
    cost            TEXT NOT NULL,
    timestamp       INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    subscription_id TEXT,
    endpoint        TEXT,
    agent_type      TEXT,
    metadata        TEXT
) STRICT;

CREATE INDEX events_by_time ON events (timestamp);

-- Which of the callers' ids were seen. Apart from the events, so that random ids scatter over a small table only.
CREATE TABLE event_ids (
    customer_id TEXT NOT NULL,
    id          TEXT NOT NULL,
    fingerprint BLOB NOT NULL, -- of the event's contents: the same id with other contents is a conflict
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (customer_id, id)
) STRICT, WITHOUT ROWID;

-- What each customer used in each billing period: the limits are held against this.
CREATE TABLE period_counters (
    customer_id  TEXT NOT NULL,
    period_start INTEGER NOT NULL,
    meter        TEXT NOT NULL,
    units        INTEGER NOT NULL,
    cost         TEXT NOT NULL,
    PRIMARY KEY (customer_id, period_start, meter)
) STRICT, WITHOUT ROWID;

-- The same by the UTC hour, for reports.
CREATE TABLE hourly_rollups (
    customer_id TEXT NOT NULL,
    hour        INTEGER NOT NULL,
    meter       TEXT NOT NULL,
    endpoint    TEXT NOT NULL, -- '' for none
    events      INTEGER NOT NULL,
    units       INTEGER NOT NULL,
    cost        TEXT NOT NULL,
    PRIMARY KEY (customer_id, hour, meter, endpoint)
) STRICT, WITHOUT ROWID;

CREATE INDEX hourly_rollups_by_hour ON hourly_rollups (hour);

-- How far each file that the seed's code left behind was taken over.
CREATE TABLE takeovers (
    file     TEXT PRIMARY KEY,
    position INTEGER NOT NULL -- bytes
) STRICT, WITHOUT ROWID;
