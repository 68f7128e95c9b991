-- Wrapped keys, and the fence between processes that write under a key and processes that change keys.

SET LOCAL ROLE vault_etl_owner;

CREATE TABLE vault_etl.data_keys (
    key_id bigint PRIMARY KEY CHECK (key_id BETWEEN 1 AND 4294967295),
    purpose text NOT NULL DEFAULT 'data' CHECK (purpose IN ('data', 'token', 'source')),
    field text NOT NULL CHECK (
        field IN ({{ fields | map(attribute="name") | map("literal") | join(", ") }}, 'quarantine', 'source')
    ),
    generation smallint CHECK (generation > 0),
    state text NOT NULL DEFAULT 'active'
        CHECK (state IN ('pending', 'active', 'decrypt_only', 'destroyed')),
    kms_key_arn text NOT NULL CHECK (char_length(kms_key_arn) <= 256 AND kms_key_arn ~ '^[!-~]+$'),
    wrapped_key bytea CHECK (octet_length(wrapped_key) BETWEEN 1 AND 1024),
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 8),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL DEFAULT session_user,
    expires_at timestamptz,
    retired_at timestamptz,
    destroyed_at timestamptz,
    CONSTRAINT a_destroyed_key_has_no_bytes CHECK ((state = 'destroyed') = (wrapped_key IS NULL)),
    CONSTRAINT only_token_keys_have_generations CHECK ((purpose = 'token') = (generation IS NOT NULL)),
    CONSTRAINT only_records_have_tokens CHECK (purpose <> 'token' OR field <> 'quarantine'),
    CONSTRAINT the_source_key_is_of_no_field CHECK ((purpose = 'source') = (field = 'source')),
    CONSTRAINT data_keys_expire CHECK (
        purpose <> 'data' OR coalesce(
            expires_at BETWEEN created_at - interval '25 hours' AND created_at + interval '25 hours', false
        )
    ),
    CONSTRAINT only_token_keys_wait CHECK (purpose = 'token' OR state <> 'pending')
);
COMMENT ON TABLE vault_etl.data_keys IS
    'Wrapped data keys, token keys and the source key. No plaintext key is ever stored. A key is never deleted.';
COMMENT ON COLUMN vault_etl.data_keys.key_id IS 'Drawn at random. A ciphertext names its data key by this number.';
COMMENT ON COLUMN vault_etl.data_keys.purpose IS
    'data: seals values. token: makes tokens. source: makes the digests by which a file is known again.';
COMMENT ON COLUMN vault_etl.data_keys.generation IS
    'Of a token key: the number of the generation. One key a field in each generation.';
COMMENT ON COLUMN vault_etl.data_keys.state IS
    'pending → active or destroyed; active → decrypt_only → destroyed. A trigger refuses every other change.';
COMMENT ON COLUMN vault_etl.data_keys.kms_key_arn IS
    'The KMS key that wraps this key. ARNs have under 100 characters; key_changes repeats the ARN at each '
    'change.';
COMMENT ON COLUMN vault_etl.data_keys.wrapped_key IS
    'The ciphertext of KMS. KMS wraps 32 bytes in under 300. All keys are listed at once, so the limit bounds '
    'the memory of a lister.';
COMMENT ON COLUMN vault_etl.data_keys.fingerprint IS
    'Checked before the first use of what KMS unwrapped (docs/formats.md, Fingerprint).';
COMMENT ON COLUMN vault_etl.data_keys.created_at IS
    'The moment of the insert, since its transaction may have begun long before.';
COMMENT ON COLUMN vault_etl.data_keys.expires_at IS
    'Of a data key: the end of its lease of 24 hours, by the clock of the database.';
COMMENT ON CONSTRAINT data_keys_expire ON vault_etl.data_keys IS
    'The lease of 24 h, and room between two readings of the clock. Python has no year before 1.';

CREATE UNIQUE INDEX one_token_key_a_generation ON vault_etl.data_keys (field, generation)
    WHERE purpose = 'token';
CREATE UNIQUE INDEX one_source_key ON vault_etl.data_keys (purpose) WHERE purpose = 'source';
CREATE UNIQUE INDEX one_active_token_key ON vault_etl.data_keys (field)
    WHERE purpose = 'token' AND state = 'active';
CREATE UNIQUE INDEX one_pending_token_key ON vault_etl.data_keys (field)
    WHERE purpose = 'token' AND state = 'pending';
CREATE INDEX data_keys_in_use ON vault_etl.data_keys (state, purpose, created_at) WHERE state IN ('pending', 'active');
COMMENT ON INDEX vault_etl.data_keys_in_use IS
    'For the ages of keys, which are read often. Few keys are in use among all that were.';
CREATE INDEX data_keys_of_a_login ON vault_etl.data_keys (created_by, field, created_at)
    WHERE purpose = 'data' AND state = 'active';
COMMENT ON INDEX vault_etl.data_keys_of_a_login IS 'For the limit of data keys that a login has.';

CREATE FUNCTION vault_etl.data_keys_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'keys are destroyed by state, never deleted' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF (NEW.key_id, NEW.purpose, NEW.field, NEW.fingerprint, NEW.created_at, NEW.created_by)
        IS DISTINCT FROM
        (OLD.key_id, OLD.purpose, OLD.field, OLD.fingerprint, OLD.created_at, OLD.created_by)
        OR NEW.generation IS DISTINCT FROM OLD.generation
        OR NEW.expires_at IS DISTINCT FROM OLD.expires_at
    THEN
        RAISE EXCEPTION 'a key keeps its identity' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (
        ('pending', 'active'), ('pending', 'destroyed'),
        ('active', 'decrypt_only'), ('decrypt_only', 'destroyed')
    ) THEN
        RAISE EXCEPTION 'a key does not change from % to %', OLD.state, NEW.state
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    NEW.retired_at := CASE WHEN NEW.state = 'decrypt_only' AND OLD.state = 'active'
        THEN statement_timestamp() ELSE OLD.retired_at END;
    NEW.destroyed_at := CASE WHEN NEW.state = 'destroyed' AND OLD.state <> 'destroyed'
        THEN statement_timestamp() ELSE OLD.destroyed_at END;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.data_keys_change() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.data_keys_change() IS
    'Lets a key change its state in the allowed order, and nothing else of its identity. Refuses DELETE and '
    'TRUNCATE.';
CREATE TRIGGER data_keys_change BEFORE UPDATE OR DELETE ON vault_etl.data_keys
    FOR EACH ROW EXECUTE FUNCTION vault_etl.data_keys_change();
CREATE TRIGGER data_keys_truncate BEFORE TRUNCATE ON vault_etl.data_keys
    FOR EACH STATEMENT EXECUTE FUNCTION vault_etl.data_keys_change();

CREATE TABLE vault_etl.data_key_makers (login text PRIMARY KEY);
COMMENT ON TABLE vault_etl.data_key_makers IS
    'Every login that made a data key. A login adds data keys in one transaction at a time: its row is locked '
    'until the commit.';

CREATE FUNCTION vault_etl.data_keys_are_few() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '10s' AS $$
DECLARE
    me text := session_user;
    oldest timestamptz := clock_timestamp() - interval '25 hours';  -- known before the query, so that the index serves it
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'data keys are made in READ COMMITTED' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO vault_etl.data_key_makers (login) VALUES (me) ON CONFLICT DO NOTHING;
    PERFORM FROM vault_etl.data_key_makers AS m WHERE m.login = me FOR UPDATE;
    -- A statement of its own sees what the lock was waited for.
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT made.field FROM made) AS added
        WHERE 10000 < (
            SELECT count(*) FROM vault_etl.data_keys AS k
            WHERE k.created_by = me AND k.field = added.field AND k.purpose = 'data' AND k.state = 'active'
                AND k.created_at > oldest
        )
    ) THEN
        RAISE EXCEPTION 'this login has too many active data keys of this field' USING ERRCODE = 'VE507';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION vault_etl.data_keys_are_few() FROM PUBLIC;
COMMENT ON FUNCTION vault_etl.data_keys_are_few() IS
    'Refuses the data key that would be one too many: of each field a login has 10,000 active data keys of the '
    'last 25 hours at most. 64 processes that start again every 10 minutes, and make a key each time, come to '
    '9,600. No lease is longer than 25 hours, so these are all keys that a process can write under, and '
    'retiring them is short. The owner, and so a restore, is exempt.';
CREATE TRIGGER data_keys_are_few AFTER INSERT ON vault_etl.data_keys
    REFERENCING NEW TABLE AS made FOR EACH STATEMENT
    WHEN (NOT pg_has_role(current_user, 'vault_etl_owner', 'USAGE'))
    EXECUTE FUNCTION vault_etl.data_keys_are_few();

CREATE TABLE vault_etl.key_fence (fence boolean PRIMARY KEY CHECK (false));
COMMENT ON TABLE vault_etl.key_fence IS
    'Always empty. Its lock is the fence between sealing and retiring keys: a writer under keys holds ROW '
    'EXCLUSIVE, a process that changes keys SHARE ROW EXCLUSIVE. Grants say who may hold the fence; an advisory '
    'lock could be taken by any login.';

GRANT SELECT ON vault_etl.data_keys TO
    vault_etl_ingest, vault_etl_reveal, vault_etl_rotate, vault_etl_re_encrypt, vault_etl_audit;
-- Purpose and state keep their defaults, so this adds active data keys and nothing else. All other changes are
-- functions that write an entry of the audit log (0011_key_changes.sql).
GRANT INSERT (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)
    ON vault_etl.data_keys TO vault_etl_ingest, vault_etl_re_encrypt;
GRANT INSERT ON vault_etl.key_fence TO vault_etl_ingest;
GRANT UPDATE ON vault_etl.key_fence TO vault_etl_rotate, vault_etl_re_encrypt;
