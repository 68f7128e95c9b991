-- Entries that left the audit log: a segment is exported, read back, put on the record, and then its entries are deleted.
-- `vault-etl audit trim`, for the owner alone. docs/formats.md has the files.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.audit_segments (
    last_seq bigint PRIMARY KEY,
    first_seq bigint NOT NULL,
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    last_hash bytea NOT NULL CHECK (length(last_hash) = 32),
    last_at timestamptz NOT NULL,
    kept bigint NOT NULL,
    kept_sha256 bytea NOT NULL CHECK (length(kept_sha256) = 32),
    manifest_sha256 bytea NOT NULL CHECK (length(manifest_sha256) = 32),
    location text NOT NULL CHECK (octet_length(location) <= 2048),
    seq bigint NOT NULL UNIQUE REFERENCES vault_etl.audit_log,
    CHECK (first_seq >= 1 AND first_seq <= last_seq AND kept >= 0 AND seq > last_seq)
);
COMMENT ON TABLE vault_etl.audit_segments IS
    'Entries of the log that are in files, and the place of the files. Each segment continues the one before, '
    'from entry 1 on.';
COMMENT ON COLUMN vault_etl.audit_segments.seq IS
    'The entry that put it on the record. Its ticket is the SHA-256 of all that the row says.';
COMMENT ON COLUMN vault_etl.audit_segments.kept IS 'How many entries stay in the log (audit_kept).';
COMMENT ON COLUMN vault_etl.audit_segments.kept_sha256 IS
    'The SHA-256 of the numbers and hashes of the entries that stay.';
COMMENT ON COLUMN vault_etl.audit_segments.location IS 'The place of the files when the segment was recorded.';
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON vault_etl.audit_segments
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.audit_segments
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();
GRANT SELECT ON vault_etl.audit_segments TO vault_etl_audit;
-- The export of a subject says what it could not see.
GRANT SELECT (last_seq, last_at) ON vault_etl.audit_segments TO vault_etl_reveal;

CREATE FUNCTION vault_etl.audit_is_in_a_segment() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.seq <= (SELECT max(s.last_seq) FROM vault_etl.audit_segments AS s) AND NOT (
        TG_TABLE_NAME = 'audit_checkpoints'
        AND EXISTS (SELECT FROM vault_etl.audit_segments AS s WHERE s.last_seq = OLD.seq)
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append only' USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_is_in_a_segment() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_is_in_a_segment() IS
    'Lets the owner, who alone has the right, delete what is in a segment on the record, and nothing else. The '
    'checkpoint of the last entry of a segment stays: it signs all that was before it.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['audit_log', 'audit_amounts', 'audit_checkpoints'] LOOP
        EXECUTE format(
            'CREATE TRIGGER audit_is_in_a_segment BEFORE DELETE ON vault_etl.%I'
            ' FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_in_a_segment()', name
        );
    END LOOP;
END
$$;

CREATE FUNCTION vault_etl.audit_kept(first_seq bigint, last_seq bigint) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT l.seq, l.hash FROM vault_etl.audit_log AS l
        WHERE l.seq >= audit_kept.first_seq AND l.seq <= audit_kept.last_seq AND (
            EXISTS (SELECT FROM vault_etl.reveal_policies AS b WHERE b.seq = l.seq)
            OR EXISTS (SELECT FROM vault_etl.audit_keys AS b WHERE b.seq = l.seq)
            OR EXISTS (SELECT FROM vault_etl.key_changes AS b WHERE b.seq = l.seq)
            OR EXISTS (SELECT FROM vault_etl.schema_versions AS b WHERE b.seq = l.seq)
            OR EXISTS (SELECT FROM vault_etl.audit_segments AS b WHERE b.seq = l.seq)
            OR CASE l.phase
                WHEN 'intent' THEN l.decision = 'allowed' AND NOT EXISTS (
                    SELECT FROM vault_etl.audit_log AS o
                    WHERE o.request_id = l.request_id AND o.phase = 'outcome' AND o.seq <= audit_kept.last_seq
                )
                ELSE NOT EXISTS (
                    SELECT FROM vault_etl.audit_log AS i
                    WHERE i.request_id = l.request_id AND i.phase = 'intent' AND i.seq >= audit_kept.first_seq
                )
            END
        )
        ORDER BY l.seq;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_kept(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_kept(bigint, bigint) IS
    'Returns the entries of a segment that stay: entries that set something which is still read (a policy, a '
    'key, a declaration, a segment); intents without an outcome in the segment, so that audit verify names those that have '
    'none; and outcomes of intents before it. It follows from the segment and from rows that never change, so '
    'the result is the same before and after the other entries are deleted.';

CREATE FUNCTION vault_etl.audit_segment_text(segment vault_etl.audit_segments) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT E'vault-etl/1/audit-segment\n' || concat_ws(
        ' ', segment.first_seq, segment.last_seq, encode(segment.prev_hash, 'hex'), encode(segment.last_hash, 'hex'),
        (extract(epoch FROM segment.last_at) * 1000000)::bigint, segment.kept, encode(segment.kept_sha256, 'hex'),
        encode(segment.manifest_sha256, 'hex'), segment.location
    ) || E'\n'
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_segment_text(vault_etl.audit_segments) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_segment_text(vault_etl.audit_segments) IS
    'Returns the text whose SHA-256 is the ticket of the entry of a segment.';

CREATE FUNCTION vault_etl.audit_segment_add(
    request_id uuid, actor text, host text, reason text, first_seq bigint, last_seq bigint, prev_hash bytea,
    last_hash bytea, manifest_sha256 bytea, location text
) RETURNS TABLE (seq bigint, hash bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    made vault_etl.audit_segments;
    digest text;
    intent vault_etl.audit_log;
    outcome vault_etl.audit_log;
BEGIN
    SELECT count(*), sha256(coalesce(string_agg(int8send(k.seq) || k.hash, ''::bytea ORDER BY k.seq), ''))
    INTO made.kept, made.kept_sha256
    FROM vault_etl.audit_kept(audit_segment_add.first_seq, audit_segment_add.last_seq) AS k;
    SELECT l.logged_at INTO made.last_at FROM vault_etl.audit_log AS l
    WHERE l.seq = audit_segment_add.last_seq AND l.hash = audit_segment_add.last_hash
        AND l.logged_at < clock_timestamp() - interval '1 day'
        AND EXISTS (
            SELECT FROM vault_etl.audit_log AS f
            WHERE f.seq = audit_segment_add.first_seq AND f.prev_hash = audit_segment_add.prev_hash
        )
        AND EXISTS (SELECT FROM vault_etl.audit_checkpoints AS c WHERE c.seq = l.seq AND c.hash = l.hash);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the segment must end with an entry that is older than a day and has a checkpoint'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    made.first_seq := audit_segment_add.first_seq;
    made.last_seq := audit_segment_add.last_seq;
    made.prev_hash := audit_segment_add.prev_hash;
    made.last_hash := audit_segment_add.last_hash;
    made.manifest_sha256 := audit_segment_add.manifest_sha256;
    made.location := audit_segment_add.location;
    digest := encode(sha256(convert_to(vault_etl.audit_segment_text(made), 'UTF8')), 'hex');
    PERFORM vault_etl.audit_lock();
    -- Checked behind the lock: of two sessions that add the same segment, one finds the segment of the other.
    IF made.first_seq <> (SELECT coalesce(max(s.last_seq), 0) + 1 FROM vault_etl.audit_segments AS s) THEN
        RAISE EXCEPTION 'the segment does not continue the last one' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    intent := vault_etl.audit_write(
        request_id, 'intent', actor, host, 'audit trim', NULL::uuid, '{}'::text[], NULL, digest, reason, 'allowed', NULL
    );
    made.seq := intent.seq;
    INSERT INTO vault_etl.audit_segments SELECT made.*;
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'audit trim', NULL::uuid, '{}'::text[], NULL, digest,
        format(
            'entries %s to %s may be deleted, and %s of them stay', made.first_seq, made.last_seq, made.kept
        ),
        'done', NULL
    );
    RETURN QUERY SELECT outcome.seq, outcome.hash;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_segment_add(
    uuid, text, text, text, bigint, bigint, bytea, bytea, bytea, text
) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_segment_add(uuid, text, text, text, bigint, bigint, bytea, bytea, bytea, text) IS
    'Puts a segment on the record, with its two entries: from then on its entries may be deleted. The segment '
    'continues the last one, and ends with an entry that has a checkpoint and is older than a day, since quotas '
    'count the last hour and registrations the last day. The caller checks that the files have these entries. '
    'Raises 55000 for any other segment.';

CREATE FUNCTION vault_etl.audit_segment_delete(last_seq bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    segment vault_etl.audit_segments;
    kept bigint[];
    kept_sha256 bytea;
    deleted bigint;
BEGIN
    SELECT s.* INTO STRICT segment FROM vault_etl.audit_segments AS s WHERE s.last_seq = audit_segment_delete.last_seq;
    SELECT array_agg(k.seq), sha256(coalesce(string_agg(int8send(k.seq) || k.hash, ''::bytea ORDER BY k.seq), ''))
    INTO kept, kept_sha256
    FROM vault_etl.audit_kept(segment.first_seq, segment.last_seq) AS k;
    IF kept_sha256 <> segment.kept_sha256 THEN
        RAISE EXCEPTION 'other entries would stay than the record says'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM vault_etl.audit_disclosed AS r
    WHERE r.seq >= segment.first_seq AND r.seq <= segment.last_seq
        AND NOT EXISTS (SELECT FROM unnest(kept) AS k WHERE k = r.seq);
    DELETE FROM vault_etl.audit_amounts AS a
    WHERE a.seq >= segment.first_seq AND a.seq <= segment.last_seq
        AND NOT EXISTS (SELECT FROM unnest(kept) AS k WHERE k = a.seq);
    -- The checkpoint of the empty log goes with the first segment. A later checkpoint signs entries of older segments too.
    DELETE FROM vault_etl.audit_checkpoints AS c
    WHERE c.seq < segment.last_seq
        AND NOT EXISTS (SELECT FROM vault_etl.audit_segments AS s WHERE s.last_seq = c.seq);
    DELETE FROM vault_etl.audit_log AS l
    WHERE l.seq >= segment.first_seq AND l.seq <= segment.last_seq
        AND NOT EXISTS (SELECT FROM unnest(kept) AS k WHERE k = l.seq);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.audit_segment_delete(bigint) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.audit_segment_delete(bigint) IS
    'Deletes the entries of a recorded segment in one transaction, with their amounts, their rows of '
    'audit_disclosed and their checkpoints. Returns how many entries. Holds no lock that others wait for. '
    'Raises 55000 if other entries would stay than the record says.';
