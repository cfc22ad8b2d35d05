-- Who has used up a share of a limit, a spend cap or his credit, once in a billing period; and how far that was told to a receiver.
CREATE TABLE alerts (
    id               TEXT PRIMARY KEY, -- under which it is sent, in every attempt
    customer_id      TEXT NOT NULL,
    kind             TEXT NOT NULL,    -- limit, soft_limit, spend_cap, credit
    unit             TEXT NOT NULL,    -- a meter, or money
    basis            TEXT NOT NULL,    -- the limit, the cap, or what credit was given: of another one it is told again
    whole            TEXT NOT NULL,    -- all of it, a decimal
    used             TEXT NOT NULL,    -- what is used of it
    percent          INTEGER NOT NULL,
    period_start     INTEGER NOT NULL,
    period_end       INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    state            TEXT NOT NULL,    -- kept, pending, sending, delivered, failed: see `domain/alert`
    due_at           INTEGER NOT NULL, -- when it may be claimed; while it is being sent, when the claim ends
    holder           TEXT,             -- who has claimed it last
    attempts         INTEGER NOT NULL,
    reason           TEXT              -- why the last attempt failed
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX alerts_once ON alerts (customer_id, period_start, kind, unit, basis, percent);
CREATE INDEX alerts_due ON alerts (due_at) WHERE state IN ('pending', 'sending');
CREATE INDEX alerts_by_age ON alerts (created_at);
