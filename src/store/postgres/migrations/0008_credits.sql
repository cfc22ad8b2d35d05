-- Whether requests are refused that no credit covers; and whether anything was ever granted: most customers are spared the look.
ALTER TABLE customers ADD COLUMN prepaid boolean NOT NULL DEFAULT false;
ALTER TABLE customers ADD COLUMN has_credit boolean NOT NULL DEFAULT false;

CREATE TABLE credit_grants (
    customer_id text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    unit        text COLLATE "C" NOT NULL, -- 'money' or a meter
    definition  text NOT NULL,             -- as it was asked for and as it counts, as JSON
    PRIMARY KEY (customer_id, id)
);

-- What was used, refunded or reset, by instant: see `domain/credit/books.rs`.
CREATE TABLE credit_entries (
    customer_id text COLLATE "C" NOT NULL,
    unit        text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    number      bigint NOT NULL, -- among the customer's of this unit, from 0
    used        text NOT NULL,
    refunded    text NOT NULL,
    is_reset    boolean NOT NULL,
    snapshot    text,            -- all that was before, as JSON: of the last one, and of some before it
    PRIMARY KEY (customer_id, unit, at)
);

CREATE TABLE credit_refunds (
    customer_id text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    unit        text NOT NULL,
    amount      text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (customer_id, id)
);
