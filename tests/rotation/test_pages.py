"""The memory of a reader of rows: bounded in bytes, however long the rows are."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, USER_LOGINS
from tests.kit.vault import Vault
from tests.rotation.events import RECORDS, load_file
from vault_etl.crypto.fields import QUARANTINE_TABLE, EventName
from vault_etl.platform import postgres_stream as postgres_pages
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_stream import PAGE_BYTES
from vault_etl.quarantine.postgres import PostgresQuarantineMover
from vault_etl.quarantine.read import EVERY_BODY
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill
from vault_etl.rotation.ranges import OpenRotation, Range

MIB: Final = 2**20
LONG: Final = 6
ALL: Final = uuid.UUID(int=2**128 - 1)
ROWS: Final = 1_000

Rows = Sequence[tuple[uuid.UUID, int]]
"""A page: each row's record id and bytes."""
Read = Callable[[Database, uuid.UUID | None, int], tuple[Rows, bool | None]]


def old_records(
    database: Database, after: uuid.UUID | None, limit: int
) -> tuple[Rows, bool | None]:
    """Read records as a rotation of data keys does."""
    return _old(database, USER_LOGINS, after, limit)


def old_bodies(database: Database, after: uuid.UUID | None, limit: int) -> tuple[Rows, bool | None]:
    """Read quarantine as a rotation of data keys does."""
    return _old(database, QUARANTINE_TABLE, after, limit)


def without_tokens(
    database: Database, after: uuid.UUID | None, limit: int
) -> tuple[Rows, bool | None]:
    """Read records as a rotation of token keys does."""
    at = Range(USER_LOGINS, uuid.UUID(int=0), ALL, after)
    page = PostgresTokenBackfill(database, DEFAULT).page(Generations(1, 2), at, limit)
    return [(row.record_id, _bytes(row.ciphertexts.values(), row.user_id)) for row in page.rows], (
        page.is_last
    )


def left_out(database: Database, after: uuid.UUID | None, limit: int) -> tuple[Rows, bool | None]:
    """Read the records of a login as a rotation of token keys does, to leave them out."""
    at = Range(USER_LOGINS, uuid.UUID(int=0), ALL, after)
    page = PostgresTokenBackfill(database, DEFAULT).named(LeaveOut(login="test_ingest"), at, limit)
    return [(row.record_id, _bytes(row.ciphertexts.values(), row.user_id)) for row in page.rows], (
        page.is_last
    )


def retried(database: Database, after: uuid.UUID | None, limit: int) -> tuple[Rows, bool | None]:
    """Read quarantine as a retry does, until no body is left."""
    bodies = PostgresQuarantineMover(database, DEFAULT).bodies(EVERY_BODY, after, limit)
    return [(body.record_id, len(body.ciphertext)) for body in bodies], None


RECORD_READERS: Final = [old_records, without_tokens, left_out]
BODY_READERS: Final = [old_bodies, retried]


@pytest.fixture
def database(rotation_filled: Vault) -> Database:
    """A connection of re-encrypt."""
    return Database(rotation_filled.database_url("re-encrypt"))


def walk(database: Database, read: Read, limit: int = ROWS) -> list[Rows]:
    """All pages, one after the other. Only the last page says that it is the last."""
    pages: list[Rows] = []
    after = None
    while True:
        rows, is_last = read(database, after, limit)
        if rows:
            pages.append(rows)
            after = rows[-1][0]
        if is_last or not rows:
            return pages


@pytest.mark.parametrize("limit", [1, 5, ROWS])
@pytest.mark.parametrize("read", RECORD_READERS)
def test_a_page_of_records_is_bounded(
    database: Database, read: Read, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is bounded by rows, and by bytes where these come first; each row is read once."""
    whole = [row for rows in walk(database, read) for row in rows]
    assert len(whole) == RECORDS
    for bound in (1, 700, 1_500, PAGE_BYTES):
        monkeypatch.setattr(postgres_pages, "PAGE_BYTES", bound)
        pages = walk(database, read, limit)
        assert [row for rows in pages for row in rows] == whole
        for rows, following in zip(pages, [*pages[1:], []], strict=True):
            size = sum(size for _, size in rows)
            assert len(rows) == 1 or (len(rows) <= limit and size <= bound)
            # The page is as long as the bounds allow.
            assert not following or len(rows) == limit or size + following[0][1] > bound


@pytest.mark.parametrize("read", BODY_READERS)
def test_a_page_of_long_bodies_is_bounded_too(
    rotation_filled: Vault, database: Database, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies of 1 MiB, as ingest seals them, with short bodies between: a page has 4 MiB at most, or one body."""
    short = "x" * 300
    load_file(
        rotation_filled, [line for _ in range(LONG) for line in ("y" * (MIB - 1), short, short)]
    )
    pages = walk(database, read)
    assert sum(len(rows) for rows in pages) == 3 * LONG + 1
    sizes = [sum(size for _, size in rows) for rows in pages]
    assert max(sizes) <= PAGE_BYTES
    assert sum(sizes) > LONG * MIB
    assert len(pages) == LONG / 3
    monkeypatch.setattr(postgres_pages, "PAGE_BYTES", 1)
    assert [len(rows) for rows in walk(database, read)] == [1] * (3 * LONG + 1)
    rotation_filled.ok("re-encrypt", "keys", "rotate", "--field", "quarantine", "--yes")
    retry = rotation_filled.ok("re-encrypt", "quarantine", "retry", "--all", "--dry-run")
    assert (retry.json["retried"], retry.json["not_opened"]) == (3 * LONG + 1, [])


def _old(
    database: Database, place: EventName, after: uuid.UUID | None, limit: int
) -> tuple[Rows, bool | None]:
    with database.transaction() as cursor:
        cursor.execute("SELECT key_id FROM vault_etl.data_keys WHERE purpose = 'data'")
        keys = frozenset(key_id for (key_id,) in cursor.fetchall())
        rotation = OpenRotation(rotation_id=uuid.uuid4(), fields=FIELDS, old_keys=keys)
        cursor.execute("DELETE FROM vault_etl.key_rotations WHERE purpose = 'data'")
        cursor.execute(
            "INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys)"
            " VALUES ('data', %s, %s, %s)",
            (rotation.rotation_id, list(FIELDS), sorted(keys)),
        )
    at = dataclasses.replace(Range(place, uuid.UUID(int=0), ALL), after=after)
    page = PostgresReencrypter(database, DEFAULT).page(rotation, at, limit)
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM vault_etl.key_rotations WHERE purpose = 'data'")
    return [(row.record_id, _bytes(row.ciphertexts.values(), row.user_id)) for row in page.rows], (
        page.is_last
    )


def _bytes(sealed: object, user_id: str) -> int:
    return sum(map(len, sealed)) + len(user_id.encode())  # type: ignore[call-overload]
