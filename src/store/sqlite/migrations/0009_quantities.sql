-- What each customer used in each billing period under prices that tell their amount only by the whole of it: an event costs
-- what it adds to that.
CREATE TABLE period_quantities (
    customer_id  TEXT NOT NULL,
    period_start INTEGER NOT NULL,
    meter        TEXT NOT NULL,
    price        TEXT NOT NULL, -- its id in the catalog
    units        INTEGER NOT NULL,
    events       INTEGER NOT NULL,
    PRIMARY KEY (customer_id, period_start, meter, price)
) STRICT, WITHOUT ROWID;

-- The id of the price by which the event was rated when it was counted.
ALTER TABLE events ADD COLUMN price TEXT;

-- Other periods sort them anew. An event with a price of its own for each unit is not in it.
CREATE INDEX rated_events ON events (customer_id) WHERE price IS NOT NULL;
