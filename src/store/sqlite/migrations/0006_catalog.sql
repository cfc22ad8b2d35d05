-- The versions of the catalog, the latest last. What is here never changes but for its position.
CREATE TABLE catalog_versions (
    version    TEXT NOT NULL PRIMARY KEY,
    position   INTEGER NOT NULL,
    definition TEXT NOT NULL             -- the normal form, as JSON
) STRICT, WITHOUT ROWID;

-- The version that the customer signed up to.
ALTER TABLE customers ADD COLUMN catalog_version TEXT;
