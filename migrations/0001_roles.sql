-- Roles, and their rights on the database itself. This file may be run again: a dump that is restored into another
-- database lacks both.

-- Roles hold rights and no login. A person or a process has a login of its own, and the login is granted one role.
-- Roles belong to the cluster, so another database may have made them already.
DO $$
DECLARE
    role_name text;
    meaning text;
BEGIN
    FOR role_name, meaning IN VALUES
        ('vault_etl_owner', 'Owns every object of vault-etl. Migrates, sets the reveal policy, detaches and archives months.'),
        ('vault_etl_ingest', 'Adds records, quarantined messages and active data keys. Reads no personal value.'),
        ('vault_etl_reveal', 'Gets what an audited access discloses. Reads no record by itself.'),
        ('vault_etl_rotate', 'Retires, rewraps and destroys keys by functions. Reads and changes no record.'),
        ('vault_etl_re_encrypt', 'Reads and re-encrypts records, makes token keys, retries quarantined messages.'),
        ('vault_etl_erase', 'Erases records and discards quarantined messages by functions. Reads no table.'),
        ('vault_etl_audit', 'Reads the audit log, checkpoints and keys, and counts what needs a key. Reads no record.'),
        ('vault_etl_analyst', 'Reads records with tokens in the place of personal values.')
    LOOP
        -- The check comes first, so that a login that may not create roles can migrate when they exist.
        IF to_regrole(role_name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
                EXECUTE format('COMMENT ON ROLE %I IS %L', role_name, meaning);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- the migration of another database made the role first
            END;
        END IF;
    END LOOP;
    -- The migrating login must be able to act as the owner. A superuser can; other logins become members.
    IF NOT pg_catalog.pg_has_role(current_user, 'vault_etl_owner', 'SET') THEN
        EXECUTE format('GRANT vault_etl_owner TO %I WITH SET TRUE', current_user);
    END IF;
END
$$;

-- `doctor` says since when a session holds the end of the audit log. Only a superuser, or a login that may grant this
-- role, can let the owner see it.
DO $$
BEGIN
    GRANT pg_read_all_stats TO vault_etl_owner WITH INHERIT TRUE;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- `doctor` reports that the owner lacks the role
END
$$;

-- The rights that our roles need on the database itself. Those of other applications are left alone (docs/adr/0050-one-schema-and-a-prefix.md).
DO $$
BEGIN
    EXECUTE format(
        'GRANT TEMPORARY ON DATABASE %I TO vault_etl_re_encrypt',
        current_database()
    );
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO vault_etl_ingest, vault_etl_reveal, vault_etl_rotate,'
        ' vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit, vault_etl_analyst, vault_etl_owner',
        current_database()
    );
END
$$;
