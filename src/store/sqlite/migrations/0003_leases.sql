-- Units of a limit that are set aside for a running process and not counted as used yet. For every customer, meter and
-- period: period_counters.units + sum(leases.units) never passes the limit by an admission.
CREATE TABLE leases (
    customer_id  TEXT NOT NULL,
    meter        TEXT NOT NULL,
    period_start INTEGER NOT NULL,
    holder       TEXT NOT NULL,
    period_end   INTEGER NOT NULL,
    units        INTEGER NOT NULL CHECK (units >= 0),
    PRIMARY KEY (customer_id, meter, period_start, holder)
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_holder ON leases (holder);

-- Somebody asked in vain while others held leases: they give them back when they see this.
CREATE TABLE lease_recalls (
    customer_id TEXT NOT NULL,
    meter       TEXT NOT NULL,
    PRIMARY KEY (customer_id, meter)
) STRICT, WITHOUT ROWID;

-- How far each process's journal is recorded.
CREATE TABLE journals (
    holder   TEXT PRIMARY KEY,
    position INTEGER NOT NULL -- the sequence number of the last event
) STRICT, WITHOUT ROWID;
