-- Roles, and what every login loses. This file may be run again: a dump that is restored into another database
-- lacks roles and the rights on the database itself.

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

-- With large objects and logical messages any login can fill the disk, past all rates. The functions belong to the
-- superuser: another login that migrates gets a warning.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'pg_logical_emit_message')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END
$$;

-- A caller's temporary table was seen to swallow an audit entry. So only roles that stage rows may make one.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY, CREATE ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT TEMPORARY ON DATABASE %I TO vault_etl_ingest, vault_etl_re_encrypt',
        current_database()
    );
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO vault_etl_ingest, vault_etl_reveal, vault_etl_rotate,'
        ' vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit, vault_etl_analyst, vault_etl_owner',
        current_database()
    );
END
$$;

-- A session that works or waits for a lock does not notice by itself that its client is gone, and keeps its locks or
-- its place in the queue. The setting is one of the database, because a pooler takes no setting of a client.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_db_role_setting AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase,
            LATERAL unnest(s.setconfig) AS setting
        WHERE d.datname = current_database() AND s.setrole = 0 AND setting LIKE 'client_connection_check_interval=%'
    ) THEN
        EXECUTE format('ALTER DATABASE %I SET client_connection_check_interval = ''5s''', current_database());
    END IF;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO vault_etl_owner;
