"""A change of keys waits for all transactions behind the fence, and is never visible in part."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kit.databases import clone
from tests.kit.declarations import DEFAULT
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import Scratch
from tests.kit.waiting import in_the_way
from tests.rotation.fence import LOCK_FENCE, _keys
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres import Database
from vault_etl.rotation.postgres import PostgresDataRotations, PostgresTokenRotations

CHANGES: dict[str, Callable[[Database], object]] = {
    "data keys retired": lambda database: PostgresDataRotations(database, DEFAULT).begin(
        rotate_request(), PERSONAL_FIELDS, 1
    ),
    "a generation made pending": lambda database: PostgresTokenRotations(database, DEFAULT).begin(
        rotate_request(), _keys(2), 1
    ),
    "a generation aborted": lambda database: PostgresTokenRotations(database, DEFAULT).abort(
        rotate_request()
    ),
}


@pytest.fixture
def scratch(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A migrated database of this test, with token keys and data keys."""
    with clone(postgres) as database:
        database.add_token_keys()
        database.write_keys()
        yield database


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_keys_waits_for_a_writer(scratch: Scratch, change: str) -> None:
    """The change is made after the writer has committed, and not before."""
    with scratch.connect("ingest") as writer, scratch.database("re-encrypt") as database:
        with writer.cursor() as cursor:
            cursor.execute(LOCK_FENCE)
        states = scratch.key_states()
        with in_the_way(scratch, lambda: CHANGES[change](database)):
            assert scratch.key_states() == states
            writer.commit()
