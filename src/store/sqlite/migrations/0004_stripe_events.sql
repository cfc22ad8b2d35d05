-- What Stripe tells of each subscription, and what customers have because of that.
ALTER TABLE customers ADD COLUMN subscription_status TEXT;
ALTER TABLE customers ADD COLUMN billing_cycle_anchor INTEGER; -- when one of the subscription's periods begins

CREATE INDEX customers_by_stripe_customer ON customers (stripe_customer_id) WHERE stripe_customer_id NOT NULL;
CREATE INDEX customers_by_subscription ON customers (subscription_id) WHERE subscription_id NOT NULL;

-- Each subscription as Stripe described it last, whether a customer is known for it or not.
CREATE TABLE stripe_subscriptions (
    id                   TEXT PRIMARY KEY,
    stripe_customer_id   TEXT NOT NULL,
    status               TEXT NOT NULL,
    prices               TEXT NOT NULL, -- ids and lookup keys, as a JSON array
    billing_cycle_anchor INTEGER,
    created_at           INTEGER NOT NULL,
    as_of                INTEGER NOT NULL -- when it was so
) STRICT, WITHOUT ROWID;

CREATE INDEX stripe_subscriptions_by_customer ON stripe_subscriptions (stripe_customer_id);

-- The events that were delivered. One that is claimed is being worked on, or was when a process died.
CREATE TABLE stripe_events (
    id         TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    created    INTEGER NOT NULL, -- by Stripe
    state      TEXT NOT NULL,    -- 'claimed', 'done', or 'kept': it means nothing here
    changed_at INTEGER NOT NULL, -- when it came into this state
    payload    TEXT              -- of one that is kept
) STRICT, WITHOUT ROWID;

CREATE INDEX stripe_events_by_change ON stripe_events (changed_at);
