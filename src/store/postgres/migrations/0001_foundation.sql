-- Units are whole numbers, amounts exact. Texts that are compared or sorted are so byte by byte, as everywhere else.
-- What belongs to a customer leads with him in its key, so that it can be distributed; the few small tables that do not
-- are those of settings, tiers, writers, journals and takeovers.

-- One row for each setting that all processes on this database share.
-- 'revision' grows with every change to keys, customers, tiers or the time zone: caches compare it.
CREATE TABLE settings (
    name  text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

INSERT INTO settings (name, value)
VALUES ('revision', '1'), ('time_zone', 'UTC'), ('store_id', gen_random_uuid()::text);

CREATE TABLE tiers (
    id                         text COLLATE "C" PRIMARY KEY,
    position                   integer NOT NULL, -- from the lowest tier to the highest
    api_requests_per_month     bigint,           -- NULL: without a limit
    agent_executions_per_month bigint,           -- NULL: without a limit
    definition                 text NOT NULL     -- the tier as the caller gave it, as JSON
);

-- Whoever decides from what a customer has, or counts him, holds his row here until the end of the transaction. It is
-- apart from `customers` because one decides about customers, too, who are not known yet.
CREATE TABLE customer_locks (
    customer_id text COLLATE "C" PRIMARY KEY
);

CREATE TABLE customers (
    id                 text COLLATE "C" PRIMARY KEY,
    tier_id            text COLLATE "C",
    subscription_id    text,
    stripe_customer_id text,
    suspended          boolean NOT NULL,
    created_at         timestamptz NOT NULL
);

CREATE TABLE api_keys (
    customer_id text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    hash        bytea NOT NULL, -- SHA-256 of the secret, which is stored nowhere; once only, see `insert_key`
    name        text,
    prefix      text NOT NULL,  -- the first characters, for people to recognise a key by
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    PRIMARY KEY (customer_id, id)
);

CREATE INDEX api_keys_by_hash ON api_keys (hash);
CREATE INDEX api_keys_by_id ON api_keys (id);

CREATE SEQUENCE event_sequence CACHE 64;

-- One partition for each month (UTC) of `timestamp`, made when it is needed, dropped when it is older than what is kept.
CREATE TABLE events (
    customer_id     text COLLATE "C" NOT NULL,
    timestamp       timestamptz NOT NULL,
    sequence        bigint NOT NULL DEFAULT nextval('event_sequence'),
    id              text,               -- the caller's id, where there is one
    meter           text NOT NULL,
    units           bigint NOT NULL,
    cost            numeric NOT NULL,
    recorded_at     timestamptz NOT NULL,
    subscription_id text,
    endpoint        text,
    agent_type      text,
    metadata        text,
    PRIMARY KEY (customer_id, timestamp, sequence)
) PARTITION BY RANGE (timestamp);

-- Which of the callers' ids were seen. One partition for each month (UTC) of `recorded_at`, so that what is written to
-- stays small, and what is forgotten is dropped. That an id is claimed once only, over all partitions, the lock of its
-- customer ensures.
CREATE TABLE event_ids (
    customer_id text COLLATE "C" NOT NULL,
    key         bytea NOT NULL,         -- 16 bytes of a hash of the id
    recorded_at timestamptz NOT NULL,
    fingerprint bytea NOT NULL,         -- 16 bytes of a hash of the contents: the same id with others is a conflict
    PRIMARY KEY (customer_id, key, recorded_at)
) PARTITION BY RANGE (recorded_at);

-- What each customer used in each billing period: the limits are held against this.
CREATE TABLE period_counters (
    customer_id  text COLLATE "C" NOT NULL,
    period_start timestamptz NOT NULL,
    meter        text NOT NULL,
    units        bigint NOT NULL CHECK (units <= 9007199254740991), -- what JavaScript can count
    cost         numeric NOT NULL,
    PRIMARY KEY (customer_id, period_start, meter)
) WITH (fillfactor = 70);

-- The same by the UTC hour, for reports.
CREATE TABLE hourly_rollups (
    customer_id text COLLATE "C" NOT NULL,
    hour        timestamptz NOT NULL,
    meter       text NOT NULL,
    endpoint    text NOT NULL, -- '' for none
    events      bigint NOT NULL,
    units       bigint NOT NULL,
    cost        numeric NOT NULL,
    PRIMARY KEY (customer_id, hour, meter, endpoint)
) WITH (fillfactor = 70);

CREATE INDEX hourly_rollups_by_hour ON hourly_rollups (hour);

-- Units of a limit that are set aside for a running process and not counted as used yet. For every customer, meter and
-- period: period_counters.units + sum(leases.units) never passes the limit by an admission.
CREATE TABLE leases (
    customer_id  text COLLATE "C" NOT NULL,
    meter        text NOT NULL,
    period_start timestamptz NOT NULL,
    holder       text COLLATE "C" NOT NULL,
    period_end   timestamptz NOT NULL,
    units        bigint NOT NULL CHECK (units > 0),
    PRIMARY KEY (customer_id, meter, period_start, holder)
) WITH (fillfactor = 70);

CREATE INDEX leases_by_holder ON leases (holder);

-- Somebody asked in vain while others held leases: they give them back when they see this.
CREATE TABLE lease_recalls (
    customer_id text COLLATE "C" NOT NULL,
    meter       text NOT NULL,
    PRIMARY KEY (customer_id, meter)
);

-- How far each process's journal is recorded.
CREATE TABLE journals (
    holder   text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL -- the sequence number of the last event
);

-- How many groups each process has committed: where the answer to a commit was lost, this tells whether it took effect.
CREATE TABLE writers (
    holder  text COLLATE "C" PRIMARY KEY,
    groups  bigint NOT NULL,
    seen_at timestamptz NOT NULL -- by this server's clock; a process that lives is seen every few seconds
);

-- How far each file that the seed's code left behind was taken over.
CREATE TABLE takeovers (
    file     text PRIMARY KEY,
    position bigint NOT NULL -- bytes
);
