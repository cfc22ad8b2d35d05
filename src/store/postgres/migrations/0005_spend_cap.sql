-- The most that what is admitted may cost in a billing period.
ALTER TABLE customers ADD COLUMN spend_cap numeric;
