-- What Stripe tells of each subscription, and what customers have because of that.
ALTER TABLE customers ADD COLUMN subscription_status text;
ALTER TABLE customers ADD COLUMN billing_cycle_anchor timestamptz; -- when one of the subscription's periods begins

CREATE INDEX customers_by_stripe_customer ON customers (stripe_customer_id) WHERE stripe_customer_id IS NOT NULL;
CREATE INDEX customers_by_subscription ON customers (subscription_id) WHERE subscription_id IS NOT NULL;

-- Each subscription as Stripe described it last, whether a customer is known for it or not. Whoever decides from what is
-- here, or changes it, locks the table: it is seldom, and which customers are concerned is not known before.
CREATE TABLE stripe_subscriptions (
    id                   text COLLATE "C" PRIMARY KEY,
    stripe_customer_id   text NOT NULL,
    status               text NOT NULL,
    prices               text NOT NULL, -- ids and lookup keys, as a JSON array
    billing_cycle_anchor timestamptz,
    created_at           timestamptz NOT NULL,
    as_of                timestamptz NOT NULL -- when it was so
);

CREATE INDEX stripe_subscriptions_by_customer ON stripe_subscriptions (stripe_customer_id);

-- The events that were delivered. One that is claimed is being worked on, or was when a process died.
CREATE TABLE stripe_events (
    id         text COLLATE "C" PRIMARY KEY,
    type       text NOT NULL,
    created    timestamptz NOT NULL, -- by Stripe
    state      text NOT NULL,        -- 'claimed', 'done', or 'kept': it means nothing here
    changed_at timestamptz NOT NULL, -- when it came into this state
    payload    text                  -- of one that is kept
);

CREATE INDEX stripe_events_by_change ON stripe_events (changed_at);
