-- The audit log: append only, gapless, hash-chained. What an entry is, and what protects it.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.vault (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    vault_id uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE vault_etl.vault IS
    'The identity of this vault. The audit chain starts from it, and every checkpoint names it.';
INSERT INTO vault_etl.vault DEFAULT VALUES;
-- Every role compares the identity of a replica with that of the primary.
GRANT SELECT ON vault_etl.vault TO PUBLIC;

CREATE TABLE vault_etl.audit_actions (
    action text PRIMARY KEY CHECK (action ~ '^[a-z][a-z -]{0,39}$'),
    roles text[] NOT NULL,
    is_access boolean NOT NULL DEFAULT false,
    a_minute integer NOT NULL DEFAULT 6000 CHECK (a_minute > 0)
);
COMMENT ON TABLE vault_etl.audit_actions IS
    'Every action of the audit log. `doctor` compares the rows with those of this file.';
COMMENT ON COLUMN vault_etl.audit_actions.roles IS
    'The roles that may append the action. An action without roles is written by the function that does the '
    'work.';
COMMENT ON COLUMN vault_etl.audit_actions.is_access IS
    'An access returns or searches personal data. It is under the reveal policy and its quota.';
COMMENT ON COLUMN vault_etl.audit_actions.a_minute IS
    'How many entries of it a login may write in a minute, or as many as the quota of an hour allows, if that '
    'is more.';
INSERT INTO vault_etl.audit_actions (action, roles, is_access, a_minute) VALUES
    ('reveal', '{vault_etl_reveal}', true, 120),
    ('reveal masked', '{vault_etl_reveal}', true, 120),
    ('find', '{vault_etl_reveal}', true, 120),
    ('tokens', '{vault_etl_reveal}', true, 120),
    ('quarantine show', '{vault_etl_reveal}', true, 120),
    ('quarantine retry', '{vault_etl_re_encrypt}', false, 120),
    ('quarantine discard', '{}', false, 1200),
    ('keys init', '{vault_etl_re_encrypt}', false, 120),
    ('keys rotate', '{vault_etl_rotate,vault_etl_re_encrypt}', false, 120),
    ('keys rewrap', '{vault_etl_rotate,vault_etl_re_encrypt}', false, 6000),
    ('keys destroy', '{vault_etl_rotate,vault_etl_re_encrypt}', false, 600),
    ('keys change', '{}', false, 6000),
    ('keys range', '{}', false, 6000),
    ('keys cut-over', '{}', false, 120),
    ('erase', '{}', false, 600),
    ('lake open', '{vault_etl_reveal}', true, 120),
    ('lake rotate', '{vault_etl_re_encrypt}', false, 120),
    ('lake erase', '{}', false, 600),
    ('lake drop', '{}', false, 120),
    ('partitions ensure', '{}', false, 120),
    ('partitions detach', '{}', false, 120),
    ('partitions attach', '{}', false, 120),
    ('partitions archive', '{}', false, 120),
    ('partitions drop', '{}', false, 120),
    ('partitions retoken', '{vault_etl_re_encrypt}', false, 120),
    ('partitions restore', '{}', false, 120),
    ('policy set', '{}', false, 120),
    ('schema apply', '{}', false, 120),
    ('audit trim', '{}', false, 120),
    ('audit key', '{}', false, 120);
GRANT SELECT ON vault_etl.audit_actions TO PUBLIC;

CREATE FUNCTION vault_etl.audit_is_text(value text, longest integer) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- No BETWEEN: the server writes it with parentheses and drops them when it reads them, so a restored dump would differ.
RETURN char_length(value) >= 1 AND char_length(value) <= longest AND value = btrim(value) AND value !~ (
    '[\u0001-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f'
    '\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff'
    '\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff'
    '\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe\U0003ffff\U0004fffe\U0004ffff\U0005fffe\U0005ffff'
    '\U0006fffe\U0006ffff\U0007fffe\U0007ffff\U0008fffe\U0008ffff\U0009fffe\U0009ffff\U000afffe\U000affff'
    '\U000bfffe\U000bffff\U000cfffe\U000cffff\U000dfffe\U000dffff\U000efffe\U000effff\U000ffffe\U000fffff'
    '\U0010fffe\U0010ffff]'
);
REVOKE ALL ON FUNCTION vault_etl.audit_is_text(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_is_text(text, integer) IS
    'Says whether a value is one line of text that shows all that it holds: its only blank is U+0020, inside. '
    'Refused are controls, other blanks, changes of direction, characters without a width (U+00AD, U+200B, '
    'U+2060, U+FEFF, fillers, variation selectors, tags, interlinear annotations) and noncharacters. '
    'HIDDEN of vault_etl/base/text.py has the same list.';

CREATE TABLE vault_etl.audit_log (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    logged_at timestamptz NOT NULL,
    request_id uuid NOT NULL,
    phase text NOT NULL CHECK (phase IN ('intent', 'outcome')),
    login text NOT NULL,
    client_address text,
    actor text NOT NULL CHECK (vault_etl.audit_is_text(actor, 2048)),
    host text NOT NULL CHECK (vault_etl.audit_is_text(host, 255)),
    action text NOT NULL CHECK (vault_etl.audit_is_text(action, 40)),
    record_id uuid,
    fields text[] NOT NULL CHECK (fields = array_remove(ARRAY[
--% for name in (tokens|map(attribute='name.raw')|list + ['quarantine'])|sort
        CASE WHEN {{ name|literal }} = ANY (fields) THEN {{ name|literal }} END{{ ',' if not loop.last }}
--% endfor
    ], NULL)),
    purpose text CHECK (vault_etl.audit_is_text(purpose, 64)),
    ticket text CHECK (vault_etl.audit_is_text(ticket, 64)),
    reason text NOT NULL CHECK (vault_etl.audit_is_text(reason, 500)),
    decision text NOT NULL,
    error_code text CHECK (error_code ~ '^[a-z][a-z0-9_]{0,63}$'),
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    written_by xid8 NOT NULL,
    CONSTRAINT intents_are_decided_outcomes_happen CHECK (
        (phase = 'intent' AND decision IN ('allowed', 'denied'))
        OR (phase = 'outcome' AND decision IN ('done', 'failed'))
    ),
    CONSTRAINT one_entry_a_phase UNIQUE (request_id, phase)
);
COMMENT ON TABLE vault_etl.audit_log IS
    'Every access to personal data and every change of keys, as an intent before and an outcome after it. '
    'docs/formats.md has the hash.';
COMMENT ON COLUMN vault_etl.audit_log.seq IS 'Gapless, from 1.';
COMMENT ON COLUMN vault_etl.audit_log.request_id IS 'Joins an intent and its outcome.';
COMMENT ON COLUMN vault_etl.audit_log.login IS 'The login of the session, which a client cannot choose.';
COMMENT ON COLUMN vault_etl.audit_log.actor IS 'Who acts, as the client says.';
COMMENT ON COLUMN vault_etl.audit_log.fields IS
    'A set, in one spelling: sorted, of one dimension, from index 1. A search of a derived form names it: ip/network.';
COMMENT ON COLUMN vault_etl.audit_log.ticket IS
    'A ticket of the caller; of some actions the SHA-256 of what the entry is about (docs/formats.md).';
COMMENT ON COLUMN vault_etl.audit_log.prev_hash IS 'The hash of the entry before.';
COMMENT ON COLUMN vault_etl.audit_log.written_by IS
    'The transaction that wrote the entry, which is not part of the hash: a function that discloses values asks '
    'for another transaction.';
CREATE INDEX audit_log_record_id ON vault_etl.audit_log (record_id) WHERE record_id IS NOT NULL;
CREATE INDEX audit_log_logged_at ON vault_etl.audit_log (logged_at) INCLUDE (seq);
COMMENT ON INDEX vault_etl.audit_log_logged_at IS
    'With seq, the index alone says where a listing of a time begins.';
CREATE INDEX audit_log_allowed ON vault_etl.audit_log (login, logged_at)
    WHERE phase = 'intent' AND decision = 'allowed';
COMMENT ON INDEX vault_etl.audit_log_allowed IS 'For the quota, which counts the accesses among these entries.';

CREATE FUNCTION vault_etl.audit_matches(
    entry vault_etl.audit_log, since timestamptz, until timestamptz, record_id uuid, field text, action text,
    ticket text, actor text
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (since IS NULL OR entry.logged_at >= since) AND (until IS NULL OR entry.logged_at < until)
    AND (record_id IS NULL OR entry.record_id = record_id) AND (
        field IS NULL OR field = ANY (entry.fields) OR starts_with(entry.fields[1], field || '/')
    )
    AND (action IS NULL OR entry.action = action) AND (ticket IS NULL OR entry.ticket = ticket)
    AND (actor IS NULL OR entry.actor = actor OR entry.login = actor);
REVOKE ALL ON FUNCTION vault_etl.audit_matches(
    vault_etl.audit_log, timestamptz, timestamptz, uuid, text, text, text, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_matches(vault_etl.audit_log, timestamptz, timestamptz, uuid, text, text, text, text)
    TO vault_etl_audit;
COMMENT ON FUNCTION vault_etl.audit_matches(vault_etl.audit_log, timestamptz, timestamptz, uuid, text, text, text, text) IS
    'Says whether an entry matches all arguments that are not NULL; `actor` is the actor or the login. Inlined, '
    'so indexes serve it.';

CREATE TABLE vault_etl.audit_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
COMMENT ON TABLE vault_etl.audit_head IS 'The end of the chain: the number and hash of the newest entry.';
INSERT INTO vault_etl.audit_head (seq, hash)
SELECT 0, sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(vault_id)) FROM vault_etl.vault;

CREATE TABLE vault_etl.audit_turn (turn boolean PRIMARY KEY CHECK (false));
COMMENT ON TABLE vault_etl.audit_turn IS
    'Always empty. Its lock is the turn to write the audit log: a writer holds EXCLUSIVE until the commit, '
    'which makes seq gapless. pg_locks names the session.';

CREATE TABLE vault_etl.audit_rates (
    login text NOT NULL,
    kind text NOT NULL,
    paid_until timestamptz NOT NULL,
    PRIMARY KEY (login, kind)
) WITH (fillfactor = 50);
COMMENT ON TABLE vault_etl.audit_rates IS 'How far each login is ahead of its rate. At 60 s it has to wait.';

CREATE TABLE vault_etl.audit_disclosed (
    seq bigint PRIMARY KEY REFERENCES vault_etl.audit_log,
    disclosed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    search bytea CHECK (length(search) = 32),
    written_by xid8 NOT NULL
);
COMMENT ON TABLE vault_etl.audit_disclosed IS
    'The intents that were used. What they name was disclosed, or is searched for.';
COMMENT ON COLUMN vault_etl.audit_disclosed.search IS
    'Of a search: the digest of what it searches for, until the answer.';

CREATE TABLE vault_etl.audit_amounts (
    seq bigint PRIMARY KEY REFERENCES vault_etl.audit_log,
    amount integer NOT NULL CHECK (amount BETWEEN 1 AND 1000000)
);
COMMENT ON TABLE vault_etl.audit_amounts IS
    'How many values, or rows of a set, an intent is about, where that is not one. The quota counts them; the reason '
    'of the entry says so too.';

GRANT SELECT ON vault_etl.audit_log, vault_etl.audit_amounts, vault_etl.audit_head TO vault_etl_audit;

CREATE FUNCTION vault_etl.audit_is_append_only() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append only' USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_is_append_only() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_is_append_only() IS
    'Refuses a change of the audit log. 0014_segments.sql says which entries may be deleted, and when.';
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON vault_etl.audit_log
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON vault_etl.audit_amounts
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.audit_amounts
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON vault_etl.audit_actions
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.audit_actions
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();

CREATE FUNCTION vault_etl.audit_encode(value bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN value IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || int4send(length(value)) || value END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_encode(bytea) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_encode(bytea) IS
    'Encodes one column for the hash: 0x00 for NULL, otherwise 0x01, the length as uint32, and the bytes.';

CREATE FUNCTION vault_etl.audit_encode(value text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vault_etl.audit_encode(convert_to(value, 'UTF8'))
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_encode(text) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_encode(text) IS 'Encodes a text as its UTF-8 bytes.';

CREATE FUNCTION vault_etl.audit_encode(value text[]) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT int2send(cardinality(value)::smallint)
        || coalesce(string_agg(vault_etl.audit_encode(element), ''::bytea ORDER BY element COLLATE "C"), ''::bytea)
    FROM unnest(value) AS element
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_encode(text[]) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_encode(text[]) IS
    'Encodes a list: its length as uint16, then each element, sorted by bytes.';

CREATE FUNCTION vault_etl.audit_hash(entry vault_etl.audit_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(
        'vault-etl/1/audit'::bytea
        || int8send(entry.seq)
        || int8send((extract(epoch FROM entry.logged_at) * 1000000)::bigint)
        || vault_etl.audit_encode(entry.request_id::text)
        || vault_etl.audit_encode(entry.phase)
        || vault_etl.audit_encode(entry.login)
        || vault_etl.audit_encode(entry.client_address)
        || vault_etl.audit_encode(entry.actor)
        || vault_etl.audit_encode(entry.host)
        || vault_etl.audit_encode(entry.action)
        || vault_etl.audit_encode(entry.record_id::text)
        || vault_etl.audit_encode(entry.fields)
        || vault_etl.audit_encode(entry.purpose)
        || vault_etl.audit_encode(entry.ticket)
        || vault_etl.audit_encode(entry.reason)
        || vault_etl.audit_encode(entry.decision)
        || vault_etl.audit_encode(entry.error_code)
        || vault_etl.audit_encode(entry.prev_hash)
    )
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_hash(vault_etl.audit_log) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_hash(vault_etl.audit_log) IS 'Returns the hash of an entry (docs/formats.md).';

CREATE FUNCTION vault_etl.audit_holder() RETURNS TABLE (pid integer, login text, since timestamptz, visible boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.pid, a.usename::text, a.xact_start, pg_has_role('pg_read_all_stats', 'USAGE')
    FROM (VALUES (true)) AS one (one)
    LEFT JOIN pg_locks AS l ON l.locktype = 'relation' AND l.relation = 'vault_etl.audit_turn'::regclass
        AND l.mode = 'ExclusiveLock' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_holder() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.audit_holder() TO vault_etl_audit;
COMMENT ON FUNCTION vault_etl.audit_holder() IS
    'Returns the session that holds the turn to write, since when its transaction runs, and whether that time '
    'is visible. One row, with NULLs if no session holds the turn.';
