-- What each customer used in each billing period under prices that tell their amount only by the whole of it: an event costs
-- what it adds to that.
CREATE TABLE period_quantities (
    customer_id  text COLLATE "C" NOT NULL,
    period_start timestamptz NOT NULL,
    meter        text NOT NULL,
    price        text COLLATE "C" NOT NULL, -- its id in the catalog
    units        bigint NOT NULL,
    events       bigint NOT NULL,
    PRIMARY KEY (customer_id, period_start, meter, price)
) WITH (fillfactor = 70);

-- The id of the price by which the event was rated when it was counted.
ALTER TABLE events ADD COLUMN price text;
