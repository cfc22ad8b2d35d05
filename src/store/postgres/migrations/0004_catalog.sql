-- The versions of the catalog, the latest last. What is here never changes but for its position.
CREATE TABLE catalog_versions (
    version    text COLLATE "C" NOT NULL PRIMARY KEY,
    position   integer NOT NULL,
    definition text NOT NULL                          -- the normal form, as JSON
);

-- The version that the customer signed up to.
ALTER TABLE customers ADD COLUMN catalog_version text;
