-- The reveal policy: who may see which fields, for which purpose, and how often.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.reveal_policies (
    seq bigint PRIMARY KEY REFERENCES vault_etl.audit_log,
    document text NOT NULL CHECK (octet_length(document) <= 65536 AND jsonb_typeof(document::jsonb) = 'object')
);
COMMENT ON TABLE vault_etl.reveal_policies IS
    'Every reveal policy that was set; the newest is in force. docs/formats.md has the document.';
COMMENT ON COLUMN vault_etl.reveal_policies.seq IS
    'The entry that set it. The ticket of that entry is the SHA-256 of the document, so audit verify sees a '
    'changed document.';
GRANT SELECT ON vault_etl.reveal_policies TO vault_etl_audit;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON vault_etl.reveal_policies
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.reveal_policies
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();

CREATE FUNCTION vault_etl.reveal_policy_set(
    request_id uuid, actor text, host text, reason text, document text
) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    digest text := encode(sha256(convert_to(document, 'UTF8')), 'hex');
    pattern text;
    intent vault_etl.audit_log;
    outcome vault_etl.audit_log;
BEGIN
    PERFORM (document::jsonb ->> 'reveals_an_hour')::integer, (document::jsonb ->> 'tokens_an_hour')::integer;
    FOR pattern IN
        SELECT rule ->> 'ticket_pattern' FROM jsonb_each(document::jsonb -> 'purposes') AS p (name, rule)
    LOOP
        -- Raises for an invalid pattern now, and not at a later access.
        PERFORM '' ~ ('^(?:' || pattern || ')$');
    END LOOP;
    intent := vault_etl.audit_write(
        request_id, 'intent', actor, host, 'policy set', NULL::uuid, '{}'::text[], NULL, digest, reason,
        'allowed', NULL
    );
    INSERT INTO vault_etl.reveal_policies VALUES (intent.seq, document);
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'policy set', NULL::uuid, '{}'::text[], NULL, digest, reason,
        'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.reveal_policy_set(uuid, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.reveal_policy_set(uuid, text, text, text, text) IS
    'Sets the policy and writes its two entries, in one transaction. For the owner alone.';

CREATE FUNCTION vault_etl.audit_quota(of_tokens boolean) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((
        SELECT (p.document::jsonb ->> CASE WHEN of_tokens THEN 'tokens_an_hour' ELSE 'reveals_an_hour' END)::integer
        FROM vault_etl.reveal_policies AS p ORDER BY p.seq DESC LIMIT 1
    ), CASE WHEN of_tokens THEN 10000 ELSE 50 END)
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_quota(boolean) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_quota(boolean) IS
    'Returns what the policy in force allows a login in an hour: accesses, of which each row of a set that is opened '
    'is one, or values to make tokens of. Tokens have a quota of their own, because they show nothing of a record.';

CREATE FUNCTION vault_etl.audit_used(of_tokens boolean)
RETURNS TABLE (used bigint, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me text := session_user;  -- of the type of the column, and known before the query, so that the index serves it
    an_hour_ago timestamptz := clock_timestamp() - interval '1 hour';
BEGIN
    RETURN QUERY
        SELECT coalesce(sum(coalesce(a.amount, 1)), 0), min(l.logged_at), max(l.logged_at)
        FROM vault_etl.audit_log AS l LEFT JOIN vault_etl.audit_amounts AS a ON a.seq = l.seq
        WHERE l.login = me AND l.logged_at > an_hour_ago AND l.phase = 'intent' AND l.decision = 'allowed'
            AND l.action IN (SELECT k.action FROM vault_etl.audit_actions AS k WHERE k.is_access)
            AND (l.action = 'tokens') = of_tokens;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_used(boolean) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_used(boolean) IS
    'Returns what this login has used of a quota in the last hour: of that of tokens, or of that of accesses.';

CREATE FUNCTION vault_etl.audit_denial(action text, fields text[], purpose text, ticket text, amount integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy jsonb;
    rule jsonb;
    in_full text[];
    masked text[];
    named text[] := ARRAY(SELECT split_part(f, '/', 1) FROM unnest(fields) AS f);
BEGIN
    IF NOT (SELECT a.is_access FROM vault_etl.audit_actions AS a WHERE a.action = audit_denial.action) THEN
        RETURN NULL;
    END IF;
    SELECT p.document::jsonb INTO policy FROM vault_etl.reveal_policies AS p ORDER BY p.seq DESC LIMIT 1;
    IF coalesce(policy -> 'purposes', '{}') <> '{}' THEN
        rule := policy -> 'purposes' -> purpose;
        IF rule IS NULL THEN
            RETURN 'purpose';
        END IF;
        in_full := ARRAY(SELECT jsonb_array_elements_text(coalesce(rule -> 'fields', '[]')));
        masked := ARRAY(SELECT jsonb_array_elements_text(coalesce(rule -> 'masked_fields', '[]')));
        -- An access to no field would be within any set, and would disclose what the log says of a record. Only finding
        -- a user names no field.
        IF NOT named <@ (in_full || masked) OR (fields = '{}' AND action <> 'find')
            OR (action = 'quarantine show') <> (fields && ARRAY['quarantine'])
        THEN
            RETURN 'field';
        ELSIF action <> 'reveal masked' AND NOT named <@ in_full THEN
            RETURN 'masked_only';
        ELSIF rule ->> 'ticket_pattern' IS NOT NULL
            AND coalesce(ticket, '') !~ ('^(?:' || (rule ->> 'ticket_pattern') || ')$')
        THEN
            RETURN 'ticket';
        END IF;
    END IF;
    IF (SELECT u.used FROM vault_etl.audit_used(action = 'tokens') AS u) + coalesce(amount, 1)
        > vault_etl.audit_quota(action = 'tokens')
    THEN
        RETURN 'quota';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_denial(text, text[], text, text, integer) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_denial(text, text[], text, text, integer) IS
    'Returns why the policy denies an access, in one word; NULL if it does not. Called with the head of the log '
    'locked, so that a quota holds. A derived form is of its field. A change of keys is no access: it is on the record, and under no policy.';

CREATE FUNCTION vault_etl.audit_allowance() RETURNS TABLE (
    document text, reader boolean, an_hour integer, used bigint, oldest timestamptz, newest timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        (SELECT p.document FROM vault_etl.reveal_policies AS p ORDER BY p.seq DESC LIMIT 1),
        pg_has_role(session_user, 'vault_etl_reveal', 'USAGE'), q.an_hour, u.used, u.oldest, u.newest
    FROM (VALUES (false, vault_etl.audit_quota(false)), (true, vault_etl.audit_quota(true))) AS q (of_tokens, an_hour),
        LATERAL vault_etl.audit_used(q.of_tokens) AS u
    ORDER BY q.of_tokens
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_allowance() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_allowance() TO vault_etl_reveal, vault_etl_audit;
COMMENT ON FUNCTION vault_etl.audit_allowance() IS
    'Returns the policy in force (NULL: the default) and what this login has used of it, in two rows: its '
    'accesses, then its tokens. A person asks before many accesses, which are decided one by one all the same. '
    '`reader` says whether the login may make an access.';
