"""An attacker who knows a whole line except its address cannot confirm the address from ids, even after an erasure."""

from __future__ import annotations

import hashlib
import itertools
import struct
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from tests.ingest.sources.loads import NO_QUEUE, loaded
from tests.kit.fakes.login_events import login_event
from tests.kit.sessions import connect
from tests.kit.vault import ROLES, Vault
from vault_etl.crypto.record_id import milliseconds_of

STORED = login_event(ip="203.0.113.7", create_date=None)
QUARANTINED = login_event(ip="203.0.113.7", user_id="")
GUESSES = [f"203.0.113.{n}" for n in range(256)]
"""The attacker has narrowed it down."""

LABELS = (b"vault-etl/1/line", b"vault-etl/1/source-lines", b"vault-etl/1/source-name", b"")


def unkeyed(line: bytes, name: bytes) -> Iterator[bytes]:
    """Return ids made without a key: SHA-256 of the line, alone or beside its source."""
    contents = (
        line,
        line + b"\n",
        hashlib.sha256(line).digest(),
        hashlib.sha256(line + b"\n").digest(),
    )
    sources = [x for c in (*contents, name) for x in (c, struct.pack(">H", len(c)) + c, c[:16])]
    for label, source, rest in itertools.product(LABELS, sources, (b"", line)):
        number = struct.pack(">Q", 1)
        yield hashlib.sha256(label + source + number + rest).digest()[:10]


def found(ids: list[uuid.UUID], template: bytes) -> set[str]:
    """Return the guesses that an id confirms."""
    hashes = {_hash(record_id.bytes[6:]) for record_id in ids}
    return {
        guess
        for guess in GUESSES
        for digest in unkeyed(template.replace(b"203.0.113.7", guess.encode()), b"May")
        if _hash(digest) in hashes
    }


def _hash(ten: bytes) -> int:
    """Return the bits of the ten bytes that version and variant leave."""
    return int.from_bytes(ten, "big") & ~(0xF << 76) & ~(3 << 62)


def test_the_attack_succeeds_against_an_unkeyed_id() -> None:
    """The tests below would prove nothing without this one."""
    source = hashlib.sha256(STORED + b"\n").digest()
    hashed = b"vault-etl/1/line" + struct.pack(">H", 32) + source + struct.pack(">Q", 1) + STORED
    made = bytes(6) + hashlib.sha256(hashed).digest()[:10]
    assert found([uuid.UUID(bytes=made)], STORED) == {"203.0.113.7"}


@pytest.mark.parametrize("source", [(), ("--source", "May")])
def test_ids_confirm_no_guess(vault: Vault, source: tuple[str, ...]) -> None:
    """An analyst learns nothing from a record, nor ingest from a quarantined body; erased or not."""
    for name, line in (("stored", STORED), ("bad", QUARANTINED)):
        (vault.home / name).write_bytes(line + b"\n")
    assert loaded(vault, "--file", "stored", *source) == (1, 0, 0, 0)
    bad = ("--file", "bad", *(("--source", "May, too") if source else ()))
    assert loaded(vault, *bad) == (0, 0, 1, 0)
    for erased in (False, True):
        ((record,),) = vault.sql("SELECT record_id FROM vault_etl.user_logins", role="analyst")
        ((body,),) = vault.sql("SELECT record_id FROM vault_etl.quarantine", role="ingest")
        assert found([record], STORED) == found([body], QUARANTINED) == set()
        assert milliseconds_of(body) == 0
        if not erased:
            for record_id in (record, body):
                vault.ok("erase", "erase", str(record_id), "--reason", "asked", "--yes")


@pytest.mark.parametrize("role", [role for role in ROLES if role not in {"admin", "owner"}])
@pytest.mark.parametrize("table", ["file_sources", "file_loads"])
def test_no_role_reads_a_digest(bare_vault: Vault, role: str, table: str) -> None:
    """Digests of contents and names are unreadable, and only functions write them."""
    statements = ("SELECT FROM vault_etl.{}", "INSERT INTO vault_etl.{} DEFAULT VALUES")
    for statement in statements:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            bare_vault.sql(statement.format(table), role=role)


def test_guesses_at_a_content_are_slow_and_one_at_a_time(bare_vault: Vault) -> None:
    """Ten guesses a second are possible, however many sessions of ingest ask.

    With the source key, a compromised worker can ask whether a content was loaded: finding a source
    again requires that.
    """
    sources = bare_vault.sql(
        "CALL vault_etl.commit_file_source(%s, NULL, NULL)", bytes(32), role="ingest"
    )
    reached = "CALL vault_etl.commit_file_load_reached(gen_random_uuid(), %s, 1, %s, NULL)"
    bare_vault.sql(reached, sources[0][0], bytes(32), role="ingest")
    of_source = reached.replace("%s, 1", f"'{sources[0][0]}', 1")
    for question in ("CALL vault_etl.commit_file_source(%s, NULL, NULL)", of_source):

        def ask(question: str = question) -> None:
            with closing(connect(bare_vault.database_url("ingest"))) as connection:
                connection.autocommit = True
                for n in range(3):
                    with connection.cursor() as cursor:
                        cursor.execute(question, (b"%032d" % n,))

        began = time.monotonic()
        sessions = [threading.Thread(target=ask) for _ in range(3)]
        for session in sessions:
            session.start()
        for session in sessions:
            session.join(30)
        assert time.monotonic() - began >= 0.9
    assert bare_vault.count("file_sources") == 4


def test_a_file_is_known_again_after_an_erasure(vault: Vault) -> None:
    """A second load does not bring back an erased person."""
    (vault.home / "f").write_bytes(STORED)
    assert loaded(vault, "--file", "f") == (1, 0, 0, 0)
    ((record_id,),) = vault.sql("SELECT record_id FROM vault_etl.user_logins")
    vault.ok("erase", "erase", str(record_id), "--reason", "asked", "--yes")
    assert loaded(vault, "--file", "f") == (0, 1, 0, 0)
    assert vault.sql("SELECT ip_ciphertext FROM vault_etl.user_logins") == [(None,)]


def test_a_vault_without_a_source_key_loads_no_file(bare_vault: Vault) -> None:
    """The error comes before anything is read."""
    (bare_vault.home / "f").write_bytes(STORED)
    done = bare_vault.run("ingest", "ingest", "--file", "f", extra=NO_QUEUE)
    assert (done.code, done.stdout) == (78, "")
    assert "there is no source key yet" in done.stderr
