"""The expected rights of each role on each object (docs/design.md, "Who may do what"), and the actual ones."""

from __future__ import annotations

from tests.kit.scratch import Scratch

# What takes a lock that others wait for: each has a procedure that calls it and commits.
COMMITS = {
    *("audit_append", "audit_register_key", "erase", "token_cut_over", "key_rewrap"),
    "quarantine_discard",
    *("keys_init", "token_keys_begin", "token_keys_abort", "data_keys_retire"),
    *("data_keys_retire_expired", "keys_destroy"),
    *("rotation_claim", "rotation_free", "retoken_begin"),
    *("file_source", "file_load_reached", "file_load_whole", "fold_value_counts"),
    *("lake_begin", "lake_record", "lake_rotated", "lake_erased"),
}


EVERYONE = {
    *("SELECT migrations", "SELECT audit_actions", "SELECT vault", "TEMPORARY"),
    *(f"SELECT schema_versions.{name}" for name in ("version", "digest", "admits")),
}
"""What PUBLIC may do. TEMPORARY is PostgreSQL's own default, which is left to the database's other applications."""


PLAIN = (
    "record_id",
    "user_id",
    "device_type",
    "locale",
    "app_version",
    "create_date",
    "event_time",
)


TOKENS = ("masked_ip", "masked_device_id")


MADE = ("key_id", "field", "kms_key_arn", "wrapped_key", "fingerprint", "expires_at")


SIGN = {"EXECUTE audit_signer", "EXECUTE audit_checkpoint"}


ROTATE = {
    "SELECT data_keys",
    "UPDATE key_fence",
    *("EXECUTE data_keys_retire", "EXECUTE data_keys_retire_expired", "EXECUTE keys_destroy"),
    *("EXECUTE key_rewrap", "EXECUTE unexplained_keys", "EXECUTE fence_state"),
    *("EXECUTE key_usage", "EXECUTE values_miscounted", "EXECUTE token_generations"),
    *("EXECUTE needs_of_data_key", "EXECUTE needs_of_generation", "EXECUTE clear_old_tokens"),
    "EXECUTE audit_append",
    "SELECT key_rotations",
    *SIGN,
}


ACTUAL = """
WITH relations AS (
    SELECT oid, relname FROM pg_class
    WHERE relnamespace = 'vault_etl'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
), on_tables AS (
    SELECT oid, relname, privilege FROM relations, unnest(ARRAY[
        'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'
    ]) AS privilege
    WHERE has_table_privilege(%(role)s, oid, privilege)
)
SELECT privilege || ' ' || relname FROM on_tables
UNION ALL
SELECT may || ' ' || relname || '.' || attname
FROM relations JOIN pg_attribute ON attrelid = relations.oid AND attnum > 0 AND NOT attisdropped,
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS may
WHERE has_column_privilege(%(role)s, attrelid, attnum, may)
    AND NOT EXISTS (SELECT FROM on_tables AS t WHERE t.oid = attrelid AND t.privilege = may)
UNION ALL
SELECT 'USAGE ' || relname FROM pg_class
WHERE relnamespace = 'vault_etl'::regnamespace
    AND CASE WHEN relkind = 'S' THEN has_sequence_privilege(%(role)s, oid, 'USAGE, SELECT, UPDATE') END
UNION ALL
SELECT 'EXECUTE ' || proname FROM pg_proc
WHERE pronamespace = 'vault_etl'::regnamespace AND has_function_privilege(%(role)s, oid, 'EXECUTE')
UNION ALL
SELECT privilege FROM unnest(ARRAY['TEMPORARY', 'CREATE']) AS privilege
WHERE has_database_privilege(%(role)s, current_database(), privilege)
UNION ALL
SELECT 'CREATE IN SCHEMA' WHERE has_schema_privilege(%(role)s, 'vault_etl', 'CREATE')
"""


PENDING = ("next_masked_ip", "next_masked_device_id", "next_token_generation")


SEALED = ("ip_ciphertext", "device_id_ciphertext")


def rights(database: Scratch, role: str) -> set[str]:
    """All that a role, or `public`, may do in this database: the role's own rights and those of PUBLIC."""
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(ACTUAL, {"role": role})
        return {right for (right,) in cursor.fetchall()}


def columns(right: str, table: str, *names: str) -> set[str]:
    """A right on some columns."""
    return {f"{right} {table}.{name}" for name in names}


CLOSED = columns("SELECT", "closed_months", "event", "first", "until")


RE_ENCRYPT = ROTATE | {
    *("SELECT user_logins", "SELECT value_counts"),
    *columns("UPDATE", "user_logins", *PENDING, *SEALED),
    *("SELECT quarantine", "UPDATE quarantine.body_ciphertext", "EXECUTE ciphertext_key_id"),
    "EXECUTE quarantine_matches",
    *("INSERT user_logins", "DELETE quarantine", "EXECUTE ensure_partition"),
    "EXECUTE fold_value_counts",
    *columns("INSERT", "key_rotations", "purpose", "rotation_id", "fields", "old_keys"),
    *columns("INSERT", "key_rotations", "event", "month"),
    "DELETE key_rotations",
    "SELECT rotation_ranges",
    *columns("INSERT", "rotation_ranges", "rotation_id", "place", "first", "last"),
    *columns("UPDATE", "rotation_ranges", "after", "done"),
    *("EXECUTE rotation_claim", "EXECUTE rotation_move", "EXECUTE rotation_free"),
    *("EXECUTE retoken_begin", "EXECUTE retoken_generations"),
    *("EXECUTE user_logins_retoken_page", "EXECUTE user_logins_retoken_fill"),
    *columns("INSERT", "data_keys", *MADE),
    *("EXECUTE keys_init", "EXECUTE token_keys_begin", "EXECUTE token_keys_abort"),
    *("EXECUTE token_cut_over", "EXECUTE token_publications", "EXECUTE token_columns"),
    "EXECUTE unattached_months",
    *("EXECUTE lake_list", "EXECUTE lake_rotated", "EXECUTE audit_resume"),
    *CLOSED,
}


RIGHTS: dict[str, set[str]] = {
    "ingest": {
        "INSERT user_logins",
        "SELECT user_logins.record_id",
        *columns(
            "INSERT",
            "quarantine",
            "record_id",
            "reason_code",
            "path",
            "body_ciphertext",
            "queue",
            "receive_count",
            "source_id",
        ),
        "SELECT quarantine.record_id",
        "INSERT key_fence",
        "SELECT data_keys",
        *columns("INSERT", "data_keys", *MADE),
        "EXECUTE unexplained_keys",
        *("EXECUTE ensure_partition", "EXECUTE fold_value_counts", "EXECUTE in_closed_months"),
        *("EXECUTE ingest_committed", "EXECUTE fence_state"),
        *CLOSED,
        *(f"EXECUTE file_{name}" for name in ("source", "load_reached", "load_whole")),
        *(f"EXECUTE lake_{name}" for name in ("begin", "record", "list")),
    },
    "reveal": {
        *columns(
            "SELECT",
            "quarantine",
            "record_id",
            "reason_code",
            "path",
            "receive_count",
            "quarantined_at",
            "source_id",
        ),
        "SELECT data_keys",
        *("EXECUTE unexplained_keys", "EXECUTE quarantine_matches", "EXECUTE unattached_months"),
        "EXECUTE audit_append",
        *(
            f"EXECUTE audit_{name}"
            for name in ("disclose", "search", "find", "find_user", "about", "allowance", "resume")
        ),
        "EXECUTE lake_list",
        *columns("SELECT", "audit_segments", "last_seq", "last_at"),
        *SIGN,
    },
    "rotate": ROTATE,
    "re_encrypt": RE_ENCRYPT,
    "erase": {
        "EXECUTE erase",
        *("EXECUTE erase_preview", "EXECUTE unattached_months"),
        *("EXECUTE quarantine_discard", "EXECUTE quarantine_matching"),
        *(f"EXECUTE lake_{name}" for name in ("erased", "pending", "list")),
        *SIGN,
    },
    "audit": {
        *(f"SELECT audit_{name}" for name in ("log", "amounts", "head", "checkpoints", "keys")),
        "SELECT audit_segments",
        *columns("SELECT", "schema_versions", "document", "applied_at", "seq"),
        *("SELECT reveal_policies", "SELECT data_keys", "EXECUTE key_usage"),
        *("EXECUTE values_miscounted", "EXECUTE token_generations"),
        "SELECT key_rotations",
        *columns("SELECT", "quarantine", "reason_code", "quarantined_at"),
        *("SELECT key_changes", "EXECUTE unexplained_keys"),
        *("EXECUTE audit_register_key", "EXECUTE audit_matches"),
        *("EXECUTE audit_holder", "EXECUTE audit_allowance", "EXECUTE unattached_months"),
        "EXECUTE lake_list",
        *SIGN,
    },
    "analyst": {
        "SELECT user_logins_masked",
        *columns("SELECT", "user_logins", *PLAIN, *TOKENS),
        "EXECUTE unattached_months",
    },
}

for _role, _rights in RIGHTS.items():
    _rights |= {"EXECUTE ingest_sessions"}
    _rights |= set() if _role in {"reveal", "erase"} else {"SELECT ingest_commits"}
    _rights |= {f"EXECUTE commit_{name}" for name in COMMITS if f"EXECUTE {name}" in _rights}
    _rights |= {
        "EXECUTE event_tables",
        "EXECUTE partition_ranges",
        "EXECUTE first_record_id",
        "EXECUTE closed_archives",
    }
