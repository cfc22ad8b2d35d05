-- Whether requests are refused that no credit covers; and whether anything was ever granted: most customers are spared the look.
ALTER TABLE customers ADD COLUMN prepaid INTEGER NOT NULL DEFAULT 0;
ALTER TABLE customers ADD COLUMN has_credit INTEGER NOT NULL DEFAULT 0;

CREATE TABLE credit_grants (
    customer_id TEXT NOT NULL,
    id          TEXT NOT NULL,
    unit        TEXT NOT NULL, -- 'money' or a meter
    definition  TEXT NOT NULL, -- as it was asked for and as it counts, as JSON
    PRIMARY KEY (customer_id, id)
) STRICT, WITHOUT ROWID;

-- What was used, refunded or reset, by instant: see `domain/credit/books.rs`.
CREATE TABLE credit_entries (
    customer_id TEXT NOT NULL,
    unit        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    number      INTEGER NOT NULL, -- among the customer's of this unit, from 0
    used        TEXT NOT NULL,
    refunded    TEXT NOT NULL,
    is_reset    INTEGER NOT NULL,
    snapshot    TEXT,             -- all that was before, as JSON: of the last one, and of some before it
    PRIMARY KEY (customer_id, unit, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE credit_refunds (
    customer_id TEXT NOT NULL,
    id          TEXT NOT NULL,
    unit        TEXT NOT NULL,
    amount      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (customer_id, id)
) STRICT, WITHOUT ROWID;
