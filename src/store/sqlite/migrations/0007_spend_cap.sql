-- The most that what is admitted may cost in a billing period: a decimal.
ALTER TABLE customers ADD COLUMN spend_cap TEXT;
