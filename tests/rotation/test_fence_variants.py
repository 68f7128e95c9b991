"""The tokens of a loader that races a rotation, with the fence and with weaker variants of the fence."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence

import psycopg2.extensions
import pytest

from tests.kit.databases import clone
from tests.kit.scratch import Scratch
from tests.rotation.fence import LOCK_FENCE
from tests.rotation.race import ROUNDS, TAKE_FENCE, WITNESS, Race
from vault_etl.crypto.keys import DataKey
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.resources import blocks
from vault_etl.records import postgres as postgres_records
from vault_etl.records.messages import SealedRecord
from vault_etl.records.postgres import PostgresRecordLoader, fence_holds
from vault_etl.records.postgres_insert import insert_records

NARROW_S = 0.003
"""The sleep in the gap of a wrong fence."""

READ_FENCE = blocks("records/records.sql")["read_fence"]

LOCK_AND_READ = f"""
    WITH locked AS MATERIALIZED (SELECT vault_etl.take_fence() AS taken),
    found AS MATERIALIZED ({READ_FENCE})
    SELECT found.* FROM locked, found
"""  # noqa: S608 - SQL of ours

Generations = tuple[int, int | None]

Fence = Callable[
    [psycopg2.extensions.cursor, Sequence[DataKey], Generations | None, WriterDeclaration], bool
]

Insert = Callable[..., frozenset[uuid.UUID]]


def no_fence(
    cursor: psycopg2.extensions.cursor,
    keys: Sequence[DataKey],
    generations: Generations | None,
    writer: WriterDeclaration,
) -> bool:
    """Write tokens that were made before `pending` was committed at any later time."""
    del cursor, keys, generations, writer
    return True


def read_unlocked(
    cursor: psycopg2.extensions.cursor,
    keys: Sequence[DataKey],
    generations: Generations | None,
    writer: WriterDeclaration,
) -> bool:
    """Read without a lock, for a fence that is taken last."""
    holds = _reads_good(cursor, READ_FENCE, keys, generations, writer)
    time.sleep(NARROW_S)
    return holds


def insert_then_lock(
    cursor: psycopg2.extensions.cursor,
    records: Sequence[SealedRecord],
    declaration: Declaration,
    *,
    checks_first: bool,
) -> frozenset[uuid.UUID]:
    """Take the fence after the COPY."""
    stored = insert_records(cursor, records, declaration, checks_first=checks_first)
    time.sleep(NARROW_S)
    cursor.execute(LOCK_FENCE)
    return stored


def lock_and_read_at_once(
    cursor: psycopg2.extensions.cursor,
    keys: Sequence[DataKey],
    generations: Generations | None,
    writer: WriterDeclaration,
) -> bool:
    """Lock and read in one statement, whose snapshot is older than the lock."""
    return _reads_good(cursor, LOCK_AND_READ, keys, generations, writer)


def _reads_good(
    cursor: psycopg2.extensions.cursor,
    statement: str,
    keys: Sequence[DataKey],
    generations: Generations | None,
    writer: WriterDeclaration,
) -> bool:
    ids, prints = [key.key_id for key in keys], [key.fingerprint for key in keys]
    values = {"key_ids": ids, "fingerprints": prints, "declaration": writer.digest}
    cursor.execute(statement, values)
    active, pending, good, *_ = cursor.fetchone() or (None, None, 0)
    assert generations is not None
    wanted = None if generations[1] is None else [generations[1]]
    return bool((active, pending, good) == ([generations[0]], wanted, len(keys)))


VARIANTS: dict[str, tuple[Fence, Insert]] = {
    "no fence": (no_fence, insert_records),
    "the fence last": (read_unlocked, insert_then_lock),
    "lock and read in one statement": (lock_and_read_at_once, insert_records),
}


@pytest.fixture
def scratch(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A migrated database of this test, with token keys."""
    with clone(postgres) as database:
        database.add_token_keys()
        database.sql(TAKE_FENCE)
        database.sql(WITNESS)
        yield database


def test_no_row_misses_a_generation(scratch: Scratch) -> None:
    """Five beginnings and five cut-overs during two loaders: every row has the tokens of its time."""
    race = Race(scratch)
    race.run()
    assert race.loaded >= 2 * ROUNDS
    assert (race.without_next, race.with_old, race.refused) == (0, 0, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_race_is_lost_with_another_fence(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    """Without the trigger: rows lack their next token, or have an old one, which only the CHECK refuses."""
    scratch.sql("ALTER TABLE user_logins DISABLE TRIGGER user_logins_inserted")
    fence, insert = VARIANTS[variant]
    monkeypatch.setattr(postgres_records, "fence_holds", fence)
    monkeypatch.setattr(postgres_records, "insert_records", insert)
    race = Race(scratch)
    race.run(until_lost=True)
    print(f"{variant}: {race.told}")  # noqa: T201 - for who reads -s
    assert race.without_next + race.with_old + race.refused > 0


def test_the_loader_uses_the_functions_that_this_file_replaces() -> None:
    """The variant with one statement runs the same query as the fence."""
    names = PostgresRecordLoader.load.__code__.co_names
    assert {"fence_holds", "insert_records"} <= set(names)
    assert "fence_holds" in postgres_records.__dict__
    assert fence_holds is postgres_records.fence_holds
