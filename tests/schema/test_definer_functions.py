"""Functions that act as the owner give no way in: read from pg_proc, so that no function is forgotten."""

from __future__ import annotations

import re

import pytest

from tests.kit.entries import append
from tests.kit.rights import COMMITS
from tests.kit.scratch import Scratch

DEFINERS = {
    *("ensure_partition", "audit_append", "key_usage"),
    *(
        "audit_disclose",
        "audit_search",
        "audit_find",
        "audit_find_user",
        "audit_about",
        "audit_allowance",
    ),
    *("needs_of_data_key", "needs_of_generation", "clear_old_tokens"),
    *("audit_register_key", "audit_signer", "audit_checkpoint"),
    *("erase", "erase_preview", "quarantine_discard", "quarantine_matching", "audit_holder"),
    *("file_source", "file_load_reached", "file_load_whole"),
    "token_cut_over",
    *("rotation_claim", "rotation_move", "rotation_free"),
    *(
        "retoken_begin",
        "retoken_generations",
        "user_logins_retoken_page",
        "user_logins_retoken_fill",
    ),
    *("keys_init", "token_keys_begin", "token_keys_abort", "data_keys_retire"),
    *("data_keys_retire_expired", "keys_destroy", "key_rewrap", "unexplained_keys"),
    *("data_keys_are_few", "token_generations", "ingest_committed", "ingest_sessions"),
    *("user_logins_inserted", "user_logins_updated", "quarantine_inserted", "quarantine_updated"),
    *("user_logins_counted", "quarantine_counted", "values_truncated", "values_counted"),
    *(
        "values_miscounted",
        "recount_values",
        "fold_value_counts",
        "unattached_months",
        "in_closed_months",
    ),
    *("detached_changed", "closed_archives"),
    *("lake_begin", "lake_record", "lake_rotated", "lake_erased", "lake_pending", "lake_list"),
    "audit_resume",
}
PINNED = "search_path=pg_catalog, pg_temp"

_RELATION = re.compile(
    r"\b(?:FROM|JOIN|INTO(?: STRICT \w+ FROM)?|UPDATE|TABLE|REFERENCES)\s+(?:ONLY\s+)?([a-z_%][\w.%]*)",
    re.IGNORECASE,
)
# `SELECT … INTO entry FROM` names a variable, LATERAL and unnest no relation.
_NO_RELATION = {
    "%s",  # a regclass, which prints its schema
    "strict",
    "entry",
    "policy",
    "pattern",
    "jsonb_each",
    "unnest",
    *("kept", "made.kept", "made.last_at"),
    "intent_seq",
    "holder",
    "paid",
    "SET",
    "moment",
    *("days", "dependents", "ids", "tokens"),
    "aclexplode",
    "format",
    "LATERAL",
    "changed",
    "added",
    "added_rows",
    "retired",
    "destroyed",
    "aborted",
    "digest",
    "jsonb_array_elements",
    "jsonb_to_recordset",
    *("written", "replaced", "made"),  # transition tables
    *("run", "intent", "held", "rotation", "was_done", "gone", "SKIP", "ended", "folded"),
    *("wanted", "ranked", "in_records", "chosen", "month", "misplaced", "place.bad"),
    *("col", "cons", "index", "change", "columns"),  # of partition_fit
    *("there", "found", "jsonb_object_keys"),
    *("OF", "place", "_place", "filled"),  # of retoken_page and retoken_fill
    "event",  # of lake_replace
    "%1",  # of a format: a detached month, by `partition_table`
}


def _functions(database: Scratch, condition: str) -> list[tuple[str, str]]:
    return database.sql(
        "SELECT p.proname::text, p.prosrc FROM pg_proc AS p"  # noqa: S608
        f" WHERE p.pronamespace = 'vault_etl'::regnamespace AND {condition} ORDER BY 1"
    )


def test_every_definer_function_is_listed(shared: Scratch) -> None:
    """A SECURITY DEFINER function that a migration adds must be added to the list above."""
    assert {name for name, _ in _functions(shared, "p.prosecdef")} == DEFINERS


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param("p.proowner <> 'vault_etl_owner'::regrole", id="owner"),
        pytest.param(f"NOT coalesce('{PINNED}' = ANY (p.proconfig), false)", id="search_path"),
        pytest.param("has_function_privilege('public', p.oid, 'EXECUTE')", id="public"),
    ],
)
def test_each_definer_function_keeps_the_rules(shared: Scratch, broken: str) -> None:
    """Every SECURITY DEFINER function belongs to the owner, pins its search path, and is not executable by PUBLIC."""
    assert _functions(shared, f"p.prosecdef AND ({broken})") == []


def test_no_function_is_executable_by_public(shared: Scratch) -> None:
    """EXECUTE is revoked from PUBLIC on every function, definer or not."""
    assert _functions(shared, "has_function_privilege('public', p.oid, 'EXECUTE')") == []


def test_a_function_without_a_pinned_search_path_is_bound_when_it_is_made(shared: Scratch) -> None:
    """A function that does not set search_path has a body in standard SQL; the migration looked its names up.

    A procedure that commits cannot set it. It names nothing but our function.
    """
    unbound = _functions(shared, "p.prosqlbody IS NULL AND p.proconfig IS NULL")
    assert {name for name, _ in unbound} == {f"commit_{name}" for name in COMMITS}
    for name, body in unbound:
        called = name.removeprefix("commit_")
        assert re.fullmatch(
            r"BEGIN COMMIT; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN"
            r" (SELECT \* INTO [a-z_, ]+ FROM|answer :=( ARRAY\(SELECT)?)"
            rf" vault_etl\.{called}\((\$\d+(, )?)*\)\)?;"
            r" EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN RAISE; END; COMMIT; END",
            " ".join(body.split()),
        ), body


def test_bodies_name_relations_with_their_schema(shared: Scratch) -> None:
    """No function body names one of our tables or functions without `vault_etl.`."""
    functions = _functions(shared, "p.prosqlbody IS NULL AND p.prokind = 'f'")
    ours = "|".join(sorted({name for name, _ in functions}))
    # Which every pinned path finds first.
    catalogs = {
        name
        for (name,) in shared.sql(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace"
        )
    }
    for name, body in functions:
        code = re.sub(r"--[^\n]*|'[^']*'|\b(?:epoch|DISTINCT)\s+FROM\b|\bNOWAIT\b", "", body)
        relations = set(_RELATION.findall(code)) - _NO_RELATION - catalogs
        assert all(
            relation.startswith(("vault_etl.", "vault_etl_detached.")) for relation in relations
        ), (name, relations)
        unqualified = re.findall(rf"(?<![\w.])(?:{ours})\s*\(", code)
        assert unqualified == [], (name, unqualified)


def test_the_rule_about_names_finds_a_name_without_a_schema() -> None:
    """The pattern above finds a bare table after FROM, JOIN, INTO and UPDATE."""
    bare = "SELECT 1 FROM a JOIN b ON true; INSERT INTO c VALUES (1); UPDATE d SET x = 1"
    assert _RELATION.findall(bare) == ["a", "b", "c", "d"]


def test_a_callers_own_function_is_not_called(shared: Scratch) -> None:
    """The owner's functions never call a function of the same name in pg_temp."""
    with shared.connect("re-encrypt") as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
            " AS 'SELECT timestamptz ''2000-01-01''';"
            "SET search_path = pg_temp, pg_catalog"
        )
        append(cursor, action="keys rotate")
        connection.commit()
    assert shared.value("SELECT min(extract(year FROM logged_at)) FROM vault_etl.audit_log") > 2000
