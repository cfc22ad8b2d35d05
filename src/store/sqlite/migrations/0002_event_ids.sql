-- Ids in segments, one after the other in time: random ids no longer scatter over all that were ever seen. What the old
-- table holds is moved by `event_ids/migration.rs`, which also drops it.
ALTER TABLE event_ids RENAME TO event_ids_by_customer;

-- Which of the callers' ids were seen. New ones go to the last segment only.
CREATE TABLE event_ids (
    segment     INTEGER NOT NULL,
    key         BLOB NOT NULL, -- 16 bytes of a hash of customer and id
    fingerprint BLOB NOT NULL, -- 16 bytes of a hash of the event's contents: the same id with others is a conflict
    PRIMARY KEY (segment, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_id_segments (
    number    INTEGER PRIMARY KEY, -- in the order of opening, never used again
    opened_at INTEGER NOT NULL,
    newest    INTEGER NOT NULL,    -- the last of the instants at which its ids were recorded
    ids       INTEGER NOT NULL,    -- how many it has
    filter    BLOB                 -- of its keys, see `event_ids/filter.rs`; NULL in the last segment, while it is open
) STRICT;
