-- Who has used up a share of a limit, a spend cap or his credit, once in a billing period; and how far that was told to a receiver.
CREATE TABLE alerts (
    id               text PRIMARY KEY, -- under which it is sent, in every attempt
    customer_id      text NOT NULL,
    kind             text NOT NULL,    -- limit, soft_limit, spend_cap, credit
    unit             text NOT NULL,    -- a meter, or money
    basis            text NOT NULL,    -- the limit, the cap, or what credit was given: of another one it is told again
    whole            numeric NOT NULL, -- all of it
    used             numeric NOT NULL, -- what is used of it
    percent          integer NOT NULL,
    period_start     timestamptz NOT NULL,
    period_end     timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    state            text NOT NULL,    -- kept, pending, sending, delivered, failed: see `domain/alert`
    due_at     timestamptz NOT NULL, -- when it may be claimed; while it is being sent, when the claim ends
    holder           text,             -- who has claimed it last
    attempts         integer NOT NULL,
    reason           text              -- why the last attempt failed
);

CREATE UNIQUE INDEX alerts_once ON alerts (customer_id, period_start, kind, unit, basis, percent);
CREATE INDEX alerts_due ON alerts (due_at) WHERE state IN ('pending', 'sending');
CREATE INDEX alerts_by_age ON alerts (created_at);
