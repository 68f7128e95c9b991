-- Contract, in a later version: no worker of the one before runs any more. The constraint proves NOT NULL, so no row is read.
SET LOCAL ROLE vault_etl_owner;

ALTER TABLE vault_etl.user_logins ALTER COLUMN country SET NOT NULL;
ALTER TABLE vault_etl.user_logins DROP CONSTRAINT country_is_filled;
DROP TRIGGER country ON vault_etl.user_logins;
DROP FUNCTION vault_etl.user_logins_country();
