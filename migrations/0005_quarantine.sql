-- Messages that could not be records, and the guard of what a login writes there (0003_records.sql explains it).

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.quarantine (
    record_id uuid PRIMARY KEY,
    reason_code text NOT NULL CHECK (reason_code ~ '^[a-z0-9_]{1,40}$'),
    path text NOT NULL CHECK (char_length(path) BETWEEN 1 AND 256),
    body_ciphertext bytea,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    receive_count integer NOT NULL DEFAULT 1 CHECK (receive_count > 0),
    source_id uuid,
    queue text CHECK (char_length(queue) BETWEEN 1 AND 80),
    CONSTRAINT body_is_sealed CHECK (
        substring(body_ciphertext FOR 1) = '\x01'::bytea
        AND octet_length(body_ciphertext) >= 49 AND octet_length(body_ciphertext) <= 1048625
        AND octet_length(body_ciphertext) % 16 = 1
    )
);
COMMENT ON TABLE vault_etl.quarantine IS
    'Messages that could not be records: the reason, the path of the field, and the sealed body.';
COMMENT ON COLUMN vault_etl.quarantine.record_id IS
    'The id that the record would have (docs/formats.md). It keeps the message from coming twice.';
COMMENT ON COLUMN vault_etl.quarantine.body_ciphertext IS
    'The whole message, sealed. NULL after an erasure; the row stays, so that the message conflicts with it.';
COMMENT ON COLUMN vault_etl.quarantine.receive_count IS
    'How often the queue had handed the message out. With many times, the message was not the only cause.';
COMMENT ON COLUMN vault_etl.quarantine.source_id IS
    'The file of the line, of which the record id is made (0025_ingest.sql). NULL: a message of the queue.';
COMMENT ON CONSTRAINT body_is_sealed ON vault_etl.quarantine IS
    'As in a table of records. A message of the queue, or a line of a file, has 1 MiB at most.';
COMMENT ON COLUMN vault_etl.quarantine.queue IS
    'The queue that the message came from: a retry takes the events of this queue. Of a line that was loaded as an '
    'event, the queue of the event. NULL: its content alone says of which event it is.';
CREATE INDEX quarantine_quarantined_at ON vault_etl.quarantine (quarantined_at);

CREATE FUNCTION vault_etl.quarantine_matches(
    its_reason_code text, its_quarantined_at timestamptz, its_source_id uuid,
    reason_code text, since timestamptz, until timestamptz, source text
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (reason_code IS NULL OR its_reason_code = reason_code)
    AND (since IS NULL OR its_quarantined_at >= since) AND (until IS NULL OR its_quarantined_at < until)
    AND (source IS NULL OR coalesce(its_source_id::text, 'queue') = source);
REVOKE ALL ON FUNCTION vault_etl.quarantine_matches(
    text, timestamptz, uuid, text, timestamptz, timestamptz, text
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.quarantine_matches(text, timestamptz, uuid, text, timestamptz, timestamptz, text)
    TO vault_etl_reveal, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.quarantine_matches(text, timestamptz, uuid, text, timestamptz, timestamptz, text) IS
    'Says whether a message matches all arguments that are not NULL. `source` is the source_id of a file, or '
    '`queue`. Inlined, so indexes serve it.';

GRANT INSERT (record_id, reason_code, path, body_ciphertext, receive_count, source_id, queue) ON vault_etl.quarantine
    TO vault_etl_ingest;
GRANT SELECT (record_id) ON vault_etl.quarantine TO vault_etl_ingest;
-- The reason and the place, and nothing of a message. An audited access discloses the body.
GRANT SELECT (record_id, reason_code, path, quarantined_at, receive_count, source_id) ON vault_etl.quarantine
    TO vault_etl_reveal;
GRANT SELECT ON vault_etl.quarantine TO vault_etl_re_encrypt;
GRANT UPDATE (body_ciphertext) ON vault_etl.quarantine TO vault_etl_re_encrypt;
-- `quarantine retry` stores a message that passes today, and deletes its row, in one transaction.
GRANT DELETE ON vault_etl.quarantine TO vault_etl_re_encrypt;
-- `status` shows how much is in quarantine, and for which reason.
GRANT SELECT (reason_code, quarantined_at) ON vault_etl.quarantine TO vault_etl_audit;

CREATE FUNCTION vault_etl.quarantine_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT substring(body_ciphertext FROM 2 FOR 4) AS key FROM written) AS used
        WHERE NOT EXISTS (
            SELECT FROM vault_etl.data_keys AS k
            WHERE k.key_id = vault_etl.ciphertext_key_id('\x01'::bytea || used.key) AND k.field = 'quarantine'
                AND k.purpose = 'data' AND k.state = 'active' AND k.created_by = session_user
                AND k.expires_at > now()
        )
    ) THEN
        RAISE EXCEPTION 'a body is not under a key that this login may write under'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.quarantine_inserted() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.quarantine_inserted() IS
    'Refuses a body that is not sealed under an active data key of this login.';
CREATE TRIGGER quarantine_inserted AFTER INSERT ON vault_etl.quarantine
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.quarantine_inserted();

CREATE FUNCTION vault_etl.quarantine_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rows are written in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE;
    IF EXISTS (
        SELECT FROM written AS w JOIN replaced AS o USING (record_id)
        WHERE w.body_ciphertext IS DISTINCT FROM o.body_ciphertext AND (
            o.body_ciphertext IS NULL
            OR NOT EXISTS (
                SELECT FROM vault_etl.data_keys AS k
                WHERE k.key_id = vault_etl.ciphertext_key_id(w.body_ciphertext)
                    AND k.field = 'quarantine' AND k.purpose = 'data' AND k.state = 'active' AND k.created_by = session_user
                    AND k.expires_at > now()
            )
        )
    ) THEN
        RAISE EXCEPTION 'this login may not make this change of a body' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.quarantine_updated() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.quarantine_updated() IS
    'Refuses to fill a body that was erased, and one under a key that this login may not write under.';
CREATE TRIGGER quarantine_updated AFTER UPDATE ON vault_etl.quarantine
    REFERENCING OLD TABLE AS replaced NEW TABLE AS written FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.quarantine_updated();
