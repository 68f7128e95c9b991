-- The roles of docs/design.md. They hold rights and no login: one login a person or process, which is
-- granted one of them. Roles belong to the cluster, so another database may have made them already.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'vault_etl_owner', 'vault_etl_ingest', 'vault_etl_reveal', 'vault_etl_rotate',
        'vault_etl_re_encrypt', 'vault_etl_erase', 'vault_etl_audit', 'vault_etl_analyst'
    ] LOOP
        -- Looked for first: then a login that may not create roles can migrate once others have.
        IF to_regrole(role_name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another database's migration was faster
            END;
        END IF;
    END LOOP;
    -- Who migrates must be able to act as the owner: a superuser is, others are made members.
    IF NOT pg_catalog.pg_has_role(current_user, 'vault_etl_owner', 'SET') THEN
        EXECUTE format('GRANT vault_etl_owner TO %I WITH SET TRUE', current_user);
    END IF;
END
$$;

-- `doctor` says since when a session holds the end of the audit log. Only a superuser, or who may grant this, can let
-- the owner see that.
DO $$
BEGIN
    GRANT pg_read_all_stats TO vault_etl_owner WITH INHERIT TRUE;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;  -- then `doctor` says so
END
$$;

-- With large objects and logical messages any login fills the disk, past all rates. They are the superuser's: any other
-- login that migrates gets a warning.
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

-- A caller's temporary table was seen to swallow an audit entry: only who stages rows may make one.
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

-- A session that works or waits for a lock does not notice by itself that its client is gone, and so keeps what it
-- has locked, or its place in the queue. Of every session, since a pooler takes no setting of a client's.
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
