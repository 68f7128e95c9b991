-- The catalogue: every declaration that was in force (docs/declaration.md), and how `vault-etl schema apply` adds one.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.schema_versions (
    version integer PRIMARY KEY CHECK (version > 0),
    document text NOT NULL CHECK (octet_length(document) <= 1048576),
    digest bytea NOT NULL,
    admits bytea CHECK (length(admits) = 32),
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seq bigint UNIQUE REFERENCES vault_etl.audit_log,
    CONSTRAINT digest_of_the_document CHECK (digest = sha256(convert_to(document, 'UTF8'))),
    CONSTRAINT the_first_one_has_no_entry CHECK ((version = 1) = (seq IS NULL))
);
COMMENT ON TABLE vault_etl.schema_versions IS
    'Every declaration of this vault; the newest is in force. `migrate` records the first, and `schema apply` each later one.';
COMMENT ON COLUMN vault_etl.schema_versions.document IS 'The document of the declaration (docs/formats.md).';
COMMENT ON COLUMN vault_etl.schema_versions.digest IS
    'The SHA-256 of the document. A command that writes compares it with that of its own declaration, behind the fence.';
COMMENT ON COLUMN vault_etl.schema_versions.admits IS
    'The digest of the version before, whose workers may go on writing. NULL: they are refused.';
COMMENT ON COLUMN vault_etl.schema_versions.seq IS
    'The entry of the audit log that added it. The ticket of that entry is the SHA-256 of this row and of the digest before '
    '(docs/formats.md), so `audit verify` sees a changed row.';
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON vault_etl.schema_versions
    FOR EACH ROW EXECUTE FUNCTION vault_etl.audit_is_append_only();
CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON vault_etl.schema_versions
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.audit_is_append_only();
-- A digest tells nothing but whether a declaration that is known already is the one in force.
GRANT SELECT (version, digest, admits) ON vault_etl.schema_versions TO PUBLIC;
GRANT SELECT (document, applied_at, seq) ON vault_etl.schema_versions TO vault_etl_audit;

-- A function, because its plan is kept by the session: each batch asks, and planning costs three times what the answer does.
-- It is STABLE, so it sees what the statement that calls it sees.
CREATE FUNCTION vault_etl.fence_state(
    key_ids bigint[], fingerprints bytea[], declaration bytea,
    OUT active smallint[], OUT pending smallint[], OUT good_keys bigint, OUT declared text
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    active := (
        SELECT array_agg(DISTINCT t.generation) FROM vault_etl.data_keys AS t
        WHERE t.purpose = 'token' AND t.state = 'active'
    );
    pending := (
        SELECT array_agg(DISTINCT t.generation) FROM vault_etl.data_keys AS t
        WHERE t.purpose = 'token' AND t.state = 'pending'
    );
    good_keys := (
        SELECT count(*) FROM vault_etl.data_keys AS k
        WHERE k.key_id = ANY (key_ids) AND k.fingerprint = fingerprints[array_position(key_ids, k.key_id)]
            AND k.purpose = 'data' AND k.state = 'active' AND k.expires_at > clock_timestamp()
    );
    declared := (
        SELECT CASE declaration WHEN s.digest THEN 'in force' WHEN s.admits THEN 'admitted' END
        FROM vault_etl.schema_versions AS s ORDER BY s.version DESC LIMIT 1
    );
END
$$;
REVOKE ALL ON FUNCTION vault_etl.fence_state(bigint[], bytea[], bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault_etl.fence_state(bigint[], bytea[], bytea) TO
    vault_etl_ingest, vault_etl_rotate, vault_etl_re_encrypt;
COMMENT ON FUNCTION vault_etl.fence_state(bigint[], bytea[], bytea) IS
    'Returns what a writer compares behind the fence: the generations of token keys that are active and pending, how many '
    'of its data keys may be written under, by their ids and fingerprints, and whether its declaration is in force.';

CREATE FUNCTION vault_etl.ensure_declared(declaration bytea) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF declaration IS DISTINCT FROM (
        SELECT s.digest FROM vault_etl.schema_versions AS s ORDER BY s.version DESC LIMIT 1
    ) THEN
        RAISE EXCEPTION 'another declaration is in force' USING ERRCODE = 'VE478';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.ensure_declared(bytea) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.ensure_declared(bytea) IS
    'Raises unless this is the digest of the declaration in force: the command that calls has another one. Called behind '
    'the fence, where there is one.';

CREATE FUNCTION vault_etl.schema_version_add(
    request_id uuid, actor text, host text, reason text, document text, is_admitting boolean, OUT version integer, OUT seq bigint
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before vault_etl.schema_versions;
    new_digest bytea := sha256(convert_to(document, 'UTF8'));
    new_admits bytea;
    ticket text;
    intent vault_etl.audit_log;
    outcome vault_etl.audit_log;
BEGIN
    SELECT s.* INTO STRICT before FROM vault_etl.schema_versions AS s ORDER BY s.version DESC LIMIT 1;
    version := before.version + 1;
    new_admits := CASE WHEN is_admitting THEN before.digest END;
    ticket := encode(sha256(convert_to(E'vault-etl/1/schema-version\n' || concat_ws(
        ' ', version, encode(new_digest, 'hex'), encode(before.digest, 'hex'), coalesce(encode(new_admits, 'hex'), '-')
    ) || E'\n', 'UTF8')), 'hex');
    intent := vault_etl.audit_write(
        request_id, 'intent', actor, host, 'schema apply', NULL::uuid, '{}'::text[], NULL, ticket, reason, 'allowed', NULL
    );
    INSERT INTO vault_etl.schema_versions (version, document, digest, admits, seq)
    VALUES (version, document, new_digest, new_admits, intent.seq);
    outcome := vault_etl.audit_write(
        request_id, 'outcome', actor, host, 'schema apply', NULL::uuid, '{}'::text[], NULL, ticket,
        format('version %s, digest %s', version, encode(new_digest, 'hex')), 'done', NULL
    );
    seq := outcome.seq;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.schema_version_add(uuid, text, text, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.schema_version_add(uuid, text, text, text, text, boolean) IS
    'Puts a declaration in force, and writes the two entries, in one transaction, which has the fence and has changed the '
    'tables. For the owner alone.';
