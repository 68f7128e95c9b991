-- Expand: a column that both versions of the workers can live with.
SET LOCAL ROLE vault_etl_owner;

ALTER TABLE vault_etl.user_logins ADD COLUMN country text;

-- New rows have it at once, those of workers of the version before too.
CREATE FUNCTION vault_etl.user_logins_country() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.country := coalesce(NEW.country, upper(split_part(NEW.locale, '-', 2)), '');
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.user_logins_country() FROM PUBLIC;
CREATE TRIGGER country BEFORE INSERT ON vault_etl.user_logins
    FOR EACH ROW EXECUTE FUNCTION vault_etl.user_logins_country();

-- And so have those of a month that is attached later.
CREATE OR REPLACE FUNCTION vault_etl.partition_fill(month regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    EXECUTE format(
        $update$
        UPDATE %s SET country = coalesce(upper(split_part(locale, '-', 2)), '') WHERE country IS NULL
        $update$, month
    );
END
$$;
