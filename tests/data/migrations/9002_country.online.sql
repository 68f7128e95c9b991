-- The rows that are there already, and the proof that none is left.

UPDATE vault_etl.user_logins SET country = coalesce(upper(split_part(locale, '-', 2)), '')
WHERE country IS NULL;

ALTER TABLE vault_etl.user_logins ADD CONSTRAINT country_is_filled CHECK (country IS NOT NULL);

CREATE INDEX user_logins_country ON vault_etl.user_logins (country) WHERE country <> '';
