-- What `status` looks at: when a worker committed last, and how much; and when each session did something last.

SET LOCAL ROLE vault_etl_owner;

-- A row a session and minute, so no worker waits for another's. The last hour, and the newest minute before it.
CREATE TABLE public.ingest_commits (
    minute timestamptz NOT NULL,
    login text NOT NULL,
    pid integer NOT NULL,
    -- Received and settled by these commits: stored, quarantined, or there already.
    messages bigint NOT NULL CHECK (messages >= 0),
    committed_at timestamptz NOT NULL,
    -- When the newest message of the last commit was sent, by the login's word, to the second, which finds no record id;
    -- NULL: a line of a file without a day, or no time that it can be.
    newest_sent timestamptz,
    PRIMARY KEY (minute, login, pid)
) WITH (fillfactor = 50);
COMMENT ON TABLE public.ingest_commits IS 'How much was committed in each minute of the last hour, for `vault-etl status`.';

-- Counts a commit, as the last statement of its transaction. What no commit of `ingest` says is not believed: `status`
-- shows it to others.
CREATE FUNCTION public.ingest_committed(messages integer, newest_sent timestamptz) RETURNS void
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
    UPDATE public.ingest_commits AS c
    SET messages = c.messages + counted, committed_at = at, newest_sent = sent
    WHERE c.minute = this_minute AND c.login = me AND c.pid = my_pid;
    IF FOUND THEN
        RETURN;
    END IF;
    DELETE FROM public.ingest_commits AS c WHERE c.ctid IN (
        SELECT o.ctid FROM public.ingest_commits AS o WHERE o.minute < this_minute - interval '1 hour'
        ORDER BY o.minute LIMIT 1000 FOR UPDATE SKIP LOCKED
    );
    INSERT INTO public.ingest_commits (minute, login, pid, messages, committed_at, newest_sent)
    VALUES (this_minute, me, my_pid, counted, at, sent);
END
$$;
REVOKE ALL ON FUNCTION public.ingest_committed(integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ingest_committed(integer, timestamptz) TO vault_etl_ingest;

-- The sessions of logins that may ingest, superusers aside. `active_at` is NULL unless the owner reads all statistics.
CREATE FUNCTION public.ingest_sessions() RETURNS TABLE (login text, sessions bigint, active_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.usename::text, count(*), max(a.state_change)
    FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid
    WHERE a.datname = current_database() AND NOT r.rolsuper AND a.pid <> pg_backend_pid()
        AND pg_has_role(a.usesysid, 'vault_etl_ingest', 'USAGE')
    GROUP BY a.usename ORDER BY a.usename
$$;
REVOKE ALL ON FUNCTION public.ingest_sessions() FROM PUBLIC;

-- Times, counts and logins, and nothing of a message. Not for reveal and erase, which learn no count without an entry.
GRANT SELECT ON public.ingest_commits TO
    vault_etl_ingest, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_audit, vault_etl_analyst;
GRANT EXECUTE ON FUNCTION public.ingest_sessions() TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_erase, vault_etl_audit,
    vault_etl_analyst;

-- The role that sees every section: how much is in quarantine, for which reason.
GRANT SELECT (reason_code, quarantined_at) ON public.quarantine TO vault_etl_audit;
