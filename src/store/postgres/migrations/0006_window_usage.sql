-- What is used of a quota whose window is a day, an hour or the seconds before: of those customers who have one, as far as
-- somebody has asked.
CREATE TABLE window_usage (
    customer_id text COLLATE "C" NOT NULL,
    quota       text NOT NULL,
    since       timestamptz NOT NULL, -- from here on it is all
    usage       text NOT NULL,        -- JSON: [[when a window starts, what is used in it], …]
    PRIMARY KEY (customer_id, quota)
) WITH (fillfactor = 70);

-- Leases are of quotas, whose names begin as those of meters do.
ALTER TABLE leases RENAME COLUMN meter TO quota;
ALTER TABLE lease_recalls RENAME COLUMN meter TO quota;
