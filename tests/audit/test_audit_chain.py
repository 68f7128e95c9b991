"""The hash chain, recomputed here from docs/formats.md with nothing but hashlib."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.chain import GENESIS, broken, entries
from tests.kit.entries import NO_QUOTA, append_committed
from tests.kit.scratch import Scratch

ENTRIES: list[dict[str, Any]] = [
    {},
    {"fields": [], "record_id": None, "purpose": None, "ticket": None},
    {"fields": ["quarantine", "ip", "device_id"], "record_id": uuid.UUID(int=1)},
    {"fields": ["ip", "device_id"], "request_id": uuid.UUID(int=7)},
    {"reason": "Żółć 鍵 🔑", "actor": "å" * 2048, "host": "h" * 255},
    {
        "phase": "outcome",
        "decision": "failed",
        "error_code": "not_found",
        "fields": ["ip", "device_id"],
        "request_id": uuid.UUID(int=7),
    },
    {"action": "keys rotate"},
    {"decision": "denied", "record_id": uuid.UUID("FFFFFFFF-FFFF-7FFF-BFFF-FFFFFFFFFFFF")},
]


def tamper(database: Scratch, statement: str) -> None:
    """Change the log as an attacker with the whole machine can: without its triggers."""
    database.sql(f"BEGIN; SET LOCAL session_replication_role = replica; {statement}; COMMIT")


@pytest.fixture(scope="module")
def written(shared: Scratch) -> Scratch:
    """A log with an entry of every shape, and a copy of it."""
    for changes in ENTRIES:
        append_committed(shared, **changes)
    shared.sql("CREATE TABLE vault_etl.as_written AS SELECT * FROM vault_etl.audit_log")
    return shared


@pytest.fixture
def chain(written: Scratch) -> Iterator[Scratch]:
    """A copy of the log, for tests that tamper with it."""
    yield written
    tamper(written, "DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM as_written")


def test_an_empty_log_has_the_vaults_own_beginning(scratch: Scratch) -> None:
    """The head of a new vault is SHA-256(label and vault id), and no two vaults share it."""
    assert broken(scratch) == []
    vault_id = scratch.value("SELECT vault_id FROM vault_etl.vault")
    head = bytes(scratch.value("SELECT hash FROM vault_etl.audit_head"))
    assert head == hashlib.sha256(GENESIS + vault_id.bytes).digest()


def test_every_entry_hashes_as_the_docs_say(chain: Scratch) -> None:
    """NULLs, empty and unsorted lists, every script and the longest texts: the chain holds to its head."""
    assert len(entries(chain)) == len(ENTRIES)
    assert broken(chain) == []


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_the_hash_does_not_depend_on_the_session(scratch: Scratch, zone: str) -> None:
    """Time zone, date style and other settings of the session that appends do not change a hash."""
    scratch.sql(
        f"ALTER DATABASE \"{scratch.name}\" SET timezone = '{zone}';"
        f"ALTER DATABASE \"{scratch.name}\" SET datestyle = 'German';"
        f"ALTER DATABASE \"{scratch.name}\" SET bytea_output = 'escape';"
        f'ALTER DATABASE "{scratch.name}" SET extra_float_digits = -15'
    )
    append_committed(scratch, fields=["ip", "device_id"])
    assert broken(scratch) == []


@pytest.mark.parametrize(
    "change",
    [
        "logged_at = logged_at + interval '1 microsecond'",
        "request_id = gen_random_uuid()",
        "login = login || 'x'",
        "client_address = NULL",
        "actor = 'x'",
        "host = 'x'",
        "action = 'erase'",
        "record_id = gen_random_uuid()",
        "fields = '{}'",
        "purpose = NULL",
        "ticket = purpose, purpose = ticket",
        "reason = reason || '.'",
        "decision = 'denied'",
        "error_code = 'x'",
        "prev_hash = hash",
        "hash = prev_hash",
    ],
)
def test_a_changed_column_breaks_the_chain(chain: Scratch, change: str) -> None:
    """The check names the entry in which any column is changed."""
    tamper(chain, f"UPDATE audit_log SET {change} WHERE seq = 3")  # noqa: S608
    assert 3 in broken(chain)


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        ("DELETE FROM audit_log WHERE seq = 4", 5),
        ("DELETE FROM audit_log WHERE seq = 8", 8),
        ("UPDATE audit_log SET seq = 9 WHERE seq = 4", 5),
        ("DELETE FROM audit_log", 1),
    ],
)
def test_a_missing_entry_breaks_the_chain(chain: Scratch, statement: str, first: int) -> None:
    """A deleted or moved entry shows at the next entry, or at the head."""
    tamper(chain, statement)
    assert broken(chain)[0] == first


def test_the_reader_reads_more_than_a_page(scratch: Scratch) -> None:
    """The log comes in pages of 250, in order, with none left out or twice."""
    scratch.sql(NO_QUOTA)
    with scratch.connect() as opened, opened.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM generate_series(1, 599) AS i, vault_etl.audit_append("
            " ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'intent', 'a', 'h', 'reveal',"
            " NULL, '{ip}', NULL, NULL, 'r', 'allowed', NULL)"
        )
        opened.commit()
    assert [entry.seq for entry in entries(scratch)] == list(range(1, 602))
    assert broken(scratch) == []
