-- The tiers that a customer had before the one that he has, and until when: JSON.
ALTER TABLE customers ADD COLUMN former_tiers TEXT;
