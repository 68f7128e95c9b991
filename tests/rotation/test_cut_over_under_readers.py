"""A cut-over during a long query and a pg_dump: the readers are not disturbed, and loaders hardly wait."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.kit.processes import finish
from tests.kit.vault import Vault
from tests.rotation.contents import contents, of_events
from tests.rotation.events import RECORDS, dated_events, load_file
from tests.rotation.kills import rotating
from tests.rotation.loading import Loading
from tests.rotation.long_readers import analyst, dumping
from tests.rotation.watch import Watch

READS = """
    SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessShareLock' AND pid <> pg_backend_pid()
        AND relation = 'vault_etl.user_logins'::regclass
"""

GRANTS = """
    SELECT 'column', attrelid::regclass::text, attname::text, acl::text
    FROM pg_attribute, unnest(attacl) AS acl
    WHERE attrelid IN ('user_logins'::regclass, 'user_logins_masked'::regclass)
        OR attrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'user_logins'::regclass)
    UNION ALL
    SELECT 'relation', oid::regclass::text, pg_get_userbyid(relowner), acl::text FROM pg_class, unnest(relacl) AS acl
    WHERE relname LIKE 'user_logins%'
    UNION ALL
    SELECT 'index', indexname, '', indexdef FROM pg_indexes WHERE tablename = 'user_logins'
    UNION ALL
    SELECT 'view', '', '', pg_get_viewdef('user_logins_masked'::regclass)
    ORDER BY 1, 2, 3, 4
"""
"""All rights, all indexes and the definition of the view, by the current names of the columns."""

TOKENS = "SELECT record_id, masked_ip, masked_device_id FROM user_logins WHERE user_id LIKE 'u-%' ORDER BY 1"
STATES = "SELECT DISTINCT generation, state FROM data_keys WHERE purpose = 'token' ORDER BY 1"


@dataclass(frozen=True, slots=True)
class Form:
    """`busy_s`: the time of the query. `most_s`: the longest allowed wait of a loader for the fence.

    The promise is 0.3 s: a try waits for all its locks for 0.2 s, by the server's clock, and its work
    behind the locks takes some 30 ms. The rest is a margin for a busy machine. A rename that waited for
    the readers would delay loaders for most of `busy_s`.
    """

    busy_s: float
    records: int
    most_s: float


SHORT = Form(4, RECORDS, most_s=1.5)
LONG = Form(60, 20_000, most_s=1.5)


@pytest.mark.timeout(180)
def test_a_cut_over_disturbs_no_reader(rotation_filled: Vault) -> None:
    """The query takes a few seconds."""
    under_readers(rotation_filled, SHORT)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_cut_over_disturbs_no_reader_for_a_minute(large: Vault) -> None:
    """The query takes a minute, over 20,000 records."""
    load_file(large, dated_events(LONG.records, 4))
    under_readers(large, LONG)


def under_readers(vault: Vault, form: Form) -> None:
    """Try with a --wait that is too short, and again with a sufficient one, while loads continue."""
    tokens, grants = vault.sql(TOKENS), vault.sql(GRANTS)
    with Watch(vault) as watch, Loading(vault).going_on() as loading, dumping(vault) as dump:
        with analyst(vault, form.busy_s) as reader:
            watch.until(lambda: watch.value(READS) >= 2)
            refused = finish(rotating(vault, "--tokens", "--wait", "1s"))
            assert refused.code == 75, refused.stderr
            assert f"pid {reader} (test_analyst" in refused.stderr
            assert "(admin, pg_dump)" in refused.stderr
            assert vault.sql(STATES) == [(1, "active"), (2, "pending")]
            assert (vault.sql(TOKENS), vault.sql(GRANTS)) == (tokens, grants)
            began = time.monotonic()
            rotation = rotating(vault, "--tokens", "--wait", "3m")
        time.sleep(0.5)
        assert rotation.poll() is None  # pg_dump is still there
        dumped = dump.finish()
        done = finish(rotation)
        took = time.monotonic() - began
    assert done.code == 0, done.stderr
    print(f"\ncut-over: {told(loading)}; --wait used {took:.1f} s")  # noqa: T201 - by hand

    assert max(loading.server_waits(), default=0) < form.most_s
    assert vault.sql(STATES) == [(1, "decrypt_only"), (2, "active")]
    assert vault.sql(GRANTS) == grants
    assert b"CREATE VIEW vault_etl.user_logins_masked" in dumped
    analysts_see_the_new_tokens(vault, dict_of(tokens))
    found = contents(vault)
    assert found.wrong_tokens == ()
    months = 4
    assert found.records == of_events([*dated_events(form.records, months), *loading.bodies])


def analysts_see_the_new_tokens(vault: Vault, old: dict[object, tuple[object, ...]]) -> None:
    """Analysts keep their rights and all columns of the view, and see no old token."""
    shown = {
        row[0]: row[3:5] for row in vault.sql("SELECT * FROM user_logins_masked", role="analyst")
    }
    held = dict_of(vault.sql("SELECT record_id, masked_ip, masked_device_id FROM user_logins"))
    assert shown == held
    assert not {token for pair in shown.values() for token in pair} & {
        token for pair in old.values() for token in pair
    }


def dict_of(rows: list[tuple[object, ...]]) -> dict[object, tuple[object, ...]]:
    """The rows by their first column."""
    return {row[0]: row[1:] for row in rows}


def told(loading: Loading) -> str:
    """Print the figures."""
    waits = loading.server_waits()
    return (
        f"{len(loading.loads)} loads, the longest {max(loading.loads) * 1000:.0f} ms, of which for the"
        f" fence {max(loading.fences) * 1000:.0f} ms; by the server's log {len(waits)} waits, the longest"
        f" {max(waits, default=0) * 1000:.0f} ms"
    )
