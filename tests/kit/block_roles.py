"""The roles that run each block of SQL. Every block is listed."""

from __future__ import annotations

from tests.kit.vault import ROLES

RE_ENCRYPT = ("re-encrypt",)
ROTATE = ("rotate", "re-encrypt")
SIGNERS = ("reveal", *ROTATE, "erase", "audit")
RUN_BY: dict[str, dict[str, tuple[str, ...]]] = {
    "audit/audit.sql": {
        "acts_as": ("reveal", *ROTATE),
        "append": ("reveal", *ROTATE),
        "entries": ("audit",),
        **dict.fromkeys(("before_the_newest", "before_a_time"), ("audit",)),
        "last_trimmed": ("audit", "reveal"),
        "resume": ("reveal", *RE_ENCRYPT),
    },
    "audit/checkpoints.sql": {
        "signer": SIGNERS,
        "store": SIGNERS,
        "register": ("audit",),
        "head": ("audit",),
    },
    "partitions/partitions.sql": dict.fromkeys(
        (
            *("list", "ensure", "reopen", "close", "open", "has_default"),
            *("detach", "misfits", "prepare", "attach", "drop"),
        ),
        ("admin",),
    ),
    "audit/owner.sql": {
        **dict.fromkeys(("act_as_owner", "freeze", "entry", "set_policy"), ("admin",)),
        "allowance": ("reveal", "audit", "admin"),
    },
    "platform/lock_watch.sql": {"blockers": ("admin",)},
    "records/months.sql": {"unattached": ("reveal", "re-encrypt", "erase", "audit", "analyst")},
    "partitions/archives.sql": dict.fromkeys(
        (
            *("patience", "begin", "record", "drop", "make", "restored"),
            *("keys", "lost_keys", "active_generation"),
        ),
        ("admin",),
    ),
    "audit/proof.sql": dict.fromkeys(
        (
            "freeze",
            "vaults",
            "heads",
            "bound",
            "wrong_amounts",
            "unexplained",
            "log",
            "ends",
            "segments",
            "checkpoints",
        ),
        ("audit",),
    ),
    "audit/segments/trim.sql": dict.fromkeys(("kept", "add", "delete"), ("admin",)),
    "doctor/doctor.sql": {
        **dict.fromkeys(
            (
                *("server", "log_settings", "fence_bytes", "missing_months", "detached"),
                *("archives", "slots"),
            ),
            ROLES,
        ),
        "wrappings": ("ingest", "reveal", "audit", *ROTATE),
        "turn": ("audit",),
        **dict.fromkeys(("miscounted", "token_generations"), ("audit", *ROTATE)),
        **dict.fromkeys(("registrations", "checkpoints", "unsigned"), ("audit",)),
    },
    "platform/replica.sql": dict.fromkeys(("identity", "position", "migrations"), ROLES),
    "doctor/status.sql": {
        "commits": ("ingest", "audit", "analyst", *ROTATE),
        "sessions": ROLES,
        "quarantined_lately": ("reveal", "audit", *RE_ENCRYPT),
        "rotations": ("audit", *ROTATE),
    },
    "doctor/logins.sql": dict.fromkeys(
        ("rights", "mixed_logins", "other_vaults", "odd_members"), ROLES
    ),
    "schema/schema.sql": dict.fromkeys(("facts", "rows"), ROLES),
    "schema/schema_around.sql": {"facts": ROLES},
    "reveal/duplicates.sql": {"shared_ip": ("analyst",), "shared_device_id": ("analyst",)},
    "erase/erase.sql": dict.fromkeys(("preview", "erase"), ("erase",)),
    "lake/lake.sql": {
        **dict.fromkeys(("begin", "record"), ("ingest",)),
        **dict.fromkeys(("list", "vault_id"), ("ingest", "reveal", *RE_ENCRYPT, "erase", "audit")),
        **dict.fromkeys(("pending", "erased"), ("erase",)),
        "rotated": RE_ENCRYPT,
    },
    "lake/owner.sql": {"drop": ("admin",)},
    "quarantine/discard.sql": dict.fromkeys(
        ("quarantine_matching", "quarantine_discard"), ("erase",)
    ),
    "ingest/sources/file_sources.sql": dict.fromkeys(("find", "reached", "loaded"), ("ingest",)),
    "keys/destroy.sql": dict.fromkeys(
        (
            *("needs_of_data_key", "needs_of_generation"),
            *("retire_expired", "destroy", "clear_old_tokens"),
        ),
        ROTATE,
    ),
    "keys/keys.sql": {
        "keys_by_id": ("reveal", *ROTATE),
        "token_keys": ("ingest", "reveal", *RE_ENCRYPT),
        "field_token_keys": ("reveal", *ROTATE),
        "source_key": ("ingest",),
        "add_data_key": ("ingest", *RE_ENCRYPT),
        "limit_fence": ROTATE,
        "close_fence": ROTATE,
        "add_first_keys": RE_ENCRYPT,
        "unexplained": ("ingest", "reveal", "audit", *ROTATE),
        "retire_data_keys": ROTATE,
        "oldest": ("ingest", "reveal", "audit", *ROTATE),
        "usage": ("audit", *ROTATE),
        "live_key_ids": ROTATE,
        "swap_wrapped_key": ROTATE,
    },
    "schema/migrations.sql": dict.fromkeys(
        (
            *("lock", "limit_waits", "pid", "server", "act_as_login", "act_as_owner"),
            *(
                "in_the_way",
                "may_create",
                "exists",
                "hold",
                "is_plain",
                "applied",
                "make_table",
                "record",
            ),
            *("table_bytes", "has_versions", "first_version"),
        ),
        ("admin",),
    ),
    "schema/apply.sql": dict.fromkeys(
        (
            *("other_tables", "functions", "view", "active_generation", "make_months"),
            *("free_rotations", "rotations_of_all_fields", "not_validated"),
        ),
        ("admin",),
    ),
    "schema/versions.sql": {
        **dict.fromkeys(("state", "in_force"), ROLES),
        "documents": ("admin", "audit"),
        "add": ("admin",),
    },
    "schema/online.sql": dict.fromkeys(
        (
            *(
                "one_at_a_time",
                "who_is_at_it",
                "begin",
                "is_done",
                "finish",
                "filled_to",
                "fill_to",
            ),
            *("tables", "indexes", "constraints", "primary_key", "activity"),
        ),
        ("admin",),
    ),
    "quarantine/quarantine.sql": {
        "rows": ("reveal",),
        "before_the_newest": ("reveal",),
        "counts": ("reveal", *RE_ENCRYPT),
        "row": ("reveal",),
        "bodies": RE_ENCRYPT,
        "lock_bodies": RE_ENCRYPT,
        "delete_rows": RE_ENCRYPT,
    },
    "reveal/reveal.sql": dict.fromkeys(
        ("disclose", "search", "find", "find_user", "about"), ("reveal",)
    ),
    "rotation/rotation.sql": {
        "open": ROTATE,
        **dict.fromkeys(
            (
                *("old_data_keys", "next_generation", "token_keys_by_state", "add_pending_keys"),
                *("abort", "add_rotation", "end_rotation"),
                *("quarantine_bounds", "add_ranges", "claim_range", "unfinished_ranges"),
                *("move_range", "free_range", "reopen_ranges"),
            ),
            RE_ENCRYPT,
        ),
    },
    "rotation/retoken.sql": dict.fromkeys(
        ("find", "generations", "begin", "open", "add", "go_through_again"), RE_ENCRYPT
    ),
    "rotation/retoken_pages.sql": dict.fromkeys(
        ("page_user_logins", "store_user_logins"), RE_ENCRYPT
    ),
    "rotation/ranges.sql": {"bounds_user_logins": RE_ENCRYPT},
    "rotation/reencrypt.sql": dict.fromkeys(
        (
            *("page_user_logins", "page_quarantine"),
            *(
                *("make_stage_user_logins", "copy_stage_user_logins", "replace_user_logins"),
                "replace_quarantine",
                "remaining_user_logins",
                "remaining_quarantine",
            ),
            "remaining",
        ),
        RE_ENCRYPT,
    ),
    "rotation/tokens.sql": dict.fromkeys(
        (
            *("page_user_logins", "named_user_logins", "make_stage_user_logins"),
            *(
                "copy_stage_user_logins",
                "fill_user_logins",
                "sample_user_logins",
                "freeze",
                "map_ip",
            ),
            *(
                "map_device_id",
                "missing",
                "blamed",
                "left_out",
                *("unequal_user_logins/masked_ip", "unequal_user_logins/masked_device_id"),
                *("count", "count_named"),
            ),
        ),
        RE_ENCRYPT,
    ),
    "rotation/cut_over.sql": dict.fromkeys(
        ("cut_over", "lock_holders", "dependents", "publications", "partitions"), RE_ENCRYPT
    ),
    "records/insert.sql": dict.fromkeys(
        ("copy_user_logins", "stored_user_logins", "savepoint", "rollback_to_savepoint"),
        ("ingest", *RE_ENCRYPT),
    ),
    "records/records.sql": {
        "lock_fence": ("ingest", *ROTATE),
        "probe": ("ingest",),
        "read_fence": ("ingest", *ROTATE),
        "in_closed_months": ("ingest",),
        "insert_rejections": ("ingest",),
        "committed": ("ingest",),
        "ensure_partition": ("ingest", *RE_ENCRYPT),
        "ensure_month": ("ingest", *RE_ENCRYPT),
        "fold_counts": ("ingest", *RE_ENCRYPT),
        "ranges": ("ingest", *RE_ENCRYPT),
    },
}
