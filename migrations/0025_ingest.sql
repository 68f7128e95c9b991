-- What ingest keeps besides records: the files that lines came from, and how much was committed when.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.file_sources (
    source_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    known_by bytea NOT NULL UNIQUE CHECK (length(known_by) = 32),
    first_loaded_at timestamptz NOT NULL DEFAULT now(),
    loaded_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE vault_etl.file_sources IS
    'Sources of lines. Record ids are made of source_id, which is random. Of a content or a name only a keyed '
    'digest is kept.';
COMMENT ON COLUMN vault_etl.file_sources.known_by IS
    'The keyed digest (docs/formats.md) by which a source is known again.';

CREATE TABLE vault_etl.file_loads (
    load_id uuid PRIMARY KEY,
    source_id uuid NOT NULL REFERENCES vault_etl.file_sources,
    lines bigint NOT NULL CHECK (lines > 0),
    digest bytea NOT NULL CHECK (length(digest) = 32),
    whole boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE vault_etl.file_loads IS
    'How far the loads of a source got: up to `lines` lines of this digest may be stored, or, of a whole load, '
    'are stored. A load that agrees with others takes their place.';
CREATE INDEX file_loads_source_id ON vault_etl.file_loads (source_id);

CREATE FUNCTION vault_etl.file_source(known_by bytea, OUT source_id uuid, OUT points bigint[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    LOCK TABLE vault_etl.file_sources IN SHARE ROW EXCLUSIVE MODE;
    PERFORM pg_sleep(0.1);
    INSERT INTO vault_etl.file_sources (known_by) VALUES ($1) ON CONFLICT DO NOTHING;
    source_id := (SELECT s.source_id FROM vault_etl.file_sources AS s WHERE s.known_by = $1);
    points := ARRAY(
        SELECT DISTINCT l.lines FROM vault_etl.file_loads AS l WHERE l.source_id = file_source.source_id
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.file_source(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.file_source(bytea) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.file_source(bytea) IS
    'Finds a source, or adds it. A login that holds the source key can ask whether a guessed content was '
    'loaded: one question at a time, and ten a second, from all sessions together. No client holds the lock, '
    'because procedures call this (0027_commits.sql).';

CREATE FUNCTION vault_etl.file_load_reached(load_id uuid, source_id uuid, lines bigint, digest bytea)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    LOCK TABLE vault_etl.file_loads IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM vault_etl.file_loads AS l
        WHERE l.source_id = $2 AND l.lines = $3 AND l.load_id <> $1
    ) THEN
        PERFORM pg_sleep(0.1);
        IF EXISTS (
            SELECT FROM vault_etl.file_loads AS l
            WHERE l.source_id = $2 AND l.lines = $3 AND l.load_id <> $1 AND l.digest <> $4
        ) THEN
            RETURN false;
        END IF;
        DELETE FROM vault_etl.file_loads AS l
        WHERE l.source_id = $2 AND l.lines = $3 AND l.load_id <> $1 AND NOT l.whole;
    END IF;
    -- Below the end of a whole load no line is new, so there is nothing to remember.
    IF NOT EXISTS (
        SELECT FROM vault_etl.file_loads AS l WHERE l.source_id = $2 AND l.whole AND l.lines > $3
    ) THEN
        DELETE FROM vault_etl.file_loads AS l
        WHERE l.load_id = $1 AND l.source_id = $2 AND l.lines < $3 AND NOT l.whole;
        INSERT INTO vault_etl.file_loads (load_id, source_id, lines, digest) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.file_load_reached(uuid, uuid, bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.file_load_reached(uuid, uuid, bigint, bytea) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.file_load_reached(uuid, uuid, bigint, bytea) IS
    'Records that a load may have stored so many lines of this digest. Returns false if another load had others '
    'there. A comparison is as slow as a search for a source.';

CREATE FUNCTION vault_etl.file_load_whole(load_id uuid, source_id uuid, agreed bigint[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    reached bigint;
BEGIN
    PERFORM vault_etl.ensure_short_transaction();
    -- Each point is compared with each point of the source while others wait.
    IF cardinality(agreed) > 10000 THEN
        RAISE EXCEPTION 'a load agrees with 10,000 points at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE vault_etl.file_loads IN SHARE ROW EXCLUSIVE MODE;
    reached := coalesce((
        SELECT l.lines FROM vault_etl.file_loads AS l WHERE l.load_id = $1 AND l.source_id = $2
    ), 0);
    IF EXISTS (
        SELECT FROM vault_etl.file_loads AS l
        WHERE l.source_id = $2 AND l.load_id <> $1 AND l.lines <> reached
            AND (l.lines > reached OR l.lines <> ALL ($3))
    ) THEN
        RETURN false;
    END IF;
    DELETE FROM vault_etl.file_loads AS l WHERE l.source_id = $2 AND l.load_id <> $1;
    UPDATE vault_etl.file_loads AS l SET whole = true WHERE l.load_id = $1;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.file_load_whole(uuid, uuid, bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.file_load_whole(uuid, uuid, bigint[]) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.file_load_whole(uuid, uuid, bigint[]) IS
    'Records that all lines which a load has reached are stored. Returns false if another load reached further, '
    'or a point that this one has not agreed with.';

CREATE TABLE vault_etl.ingest_commits (
    minute timestamptz NOT NULL,
    login text NOT NULL,
    pid integer NOT NULL,
    messages bigint NOT NULL CHECK (messages >= 0),
    committed_at timestamptz NOT NULL,
    newest_sent timestamptz,
    PRIMARY KEY (minute, login, pid)
) WITH (fillfactor = 50);
COMMENT ON TABLE vault_etl.ingest_commits IS
    'How much was committed in each minute of the last hour, for `vault-etl status`. One row a session and '
    'minute, so no worker waits for another. The rows of the last hour are kept, and the newest minute before '
    'it.';
COMMENT ON COLUMN vault_etl.ingest_commits.messages IS
    'Received and settled by these commits: stored, quarantined, or stored before.';
COMMENT ON COLUMN vault_etl.ingest_commits.newest_sent IS
    'When the newest message of the last commit was sent, as the login says, to the second, which finds no '
    'record id. NULL: a line of a file without a day, or an impossible time.';
-- Times, counts and logins, and nothing of a message. Not for reveal and erase, which learn no count without an entry.
GRANT SELECT ON vault_etl.ingest_commits TO
    vault_etl_ingest, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_audit, vault_etl_analyst;

CREATE FUNCTION vault_etl.ingest_committed(messages integer, newest_sent timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    at timestamptz := clock_timestamp();
    this_minute timestamptz := date_trunc('minute', at, 'UTC');
    me text := session_user;
    my_pid integer := pg_backend_pid();
    counted integer := least(greatest(coalesce($1, 0), 0), 100000);
    sent timestamptz := CASE
        WHEN $2 BETWEEN '1970-01-01Z' AND at + interval '1 day' THEN date_trunc('second', $2, 'UTC')
    END;
BEGIN
    UPDATE vault_etl.ingest_commits AS c
    SET messages = c.messages + counted, committed_at = at, newest_sent = sent
    WHERE c.minute = this_minute AND c.login = me AND c.pid = my_pid;
    IF FOUND THEN
        RETURN;
    END IF;
    DELETE FROM vault_etl.ingest_commits AS c WHERE c.ctid IN (
        SELECT o.ctid FROM vault_etl.ingest_commits AS o WHERE o.minute < this_minute - interval '1 hour'
        ORDER BY o.minute LIMIT 1000 FOR UPDATE SKIP LOCKED
    );
    INSERT INTO vault_etl.ingest_commits (minute, login, pid, messages, committed_at, newest_sent)
    VALUES (this_minute, me, my_pid, counted, at, sent);
END
$$;
REVOKE ALL ON FUNCTION vault_etl.ingest_committed(integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.ingest_committed(integer, timestamptz) TO vault_etl_ingest;
COMMENT ON FUNCTION vault_etl.ingest_committed(integer, timestamptz) IS
    'Counts a commit, as the last statement of its transaction. It bounds both arguments, because `status` '
    'shows to others what a login says here.';

CREATE FUNCTION vault_etl.ingest_sessions() RETURNS TABLE (login text, sessions bigint, active_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.usename::text, count(*), max(a.state_change)
    FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid
    WHERE a.datname = current_database() AND NOT r.rolsuper AND a.pid <> pg_backend_pid()
        AND pg_has_role(a.usesysid, 'vault_etl_ingest', 'USAGE')
    GROUP BY a.usename ORDER BY a.usename
$$;
REVOKE ALL ON FUNCTION vault_etl.ingest_sessions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.ingest_sessions() TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;
COMMENT ON FUNCTION vault_etl.ingest_sessions() IS
    'Returns the sessions of logins that may ingest, superusers aside. active_at is NULL unless the owner reads '
    'all statistics.';
