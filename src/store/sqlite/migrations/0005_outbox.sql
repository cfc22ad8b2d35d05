-- The outbox: what customers used of a meter in a window of time, to be reported to another service, once each.
CREATE TABLE usage_reports (
    customer_id        TEXT NOT NULL,
    id                 TEXT NOT NULL,    -- under which it is sent, in every attempt
    meter              TEXT NOT NULL,
    window_start       INTEGER NOT NULL,
    stripe_customer_id TEXT NOT NULL,    -- of whom is told, and
    subscription_id    TEXT NOT NULL,    -- '' for none: as they were when the usage was counted
    units              INTEGER NOT NULL,
    timestamp          INTEGER NOT NULL, -- of the last of its events
    is_open            INTEGER NOT NULL, -- 1: it has never been claimed, and takes what is counted in its window
    state              TEXT NOT NULL,    -- pending, sending, sent, dead, uncertain, frozen: see `domain/outbox`
    due_at             INTEGER NOT NULL, -- when it may be claimed; while it is being sent, when the claim ends
    holder             TEXT,             -- who has claimed it last
    attempts           INTEGER NOT NULL,
    first_attempt_at   INTEGER,
    in_doubt           INTEGER NOT NULL, -- 1: an attempt may have arrived without our knowing it
    reason             TEXT,             -- why the last attempt failed
    settled_at         INTEGER,
    PRIMARY KEY (customer_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX usage_reports_open
    ON usage_reports (customer_id, meter, window_start, stripe_customer_id, subscription_id) WHERE is_open;
-- At most one of an account is on its way.
CREATE UNIQUE INDEX usage_reports_sending ON usage_reports (customer_id, meter) WHERE state = 'sending';
CREATE INDEX usage_reports_unsent
    ON usage_reports (customer_id, meter, state DESC, due_at) WHERE state IN ('pending', 'sending');
CREATE INDEX usage_reports_failed ON usage_reports (state, id) WHERE state IN ('dead', 'uncertain', 'frozen');
CREATE INDEX usage_reports_sent ON usage_reports (settled_at) WHERE state = 'sent';
CREATE INDEX usage_reports_by_id ON usage_reports (id);
CREATE INDEX usage_reports_by_window ON usage_reports (window_start);
