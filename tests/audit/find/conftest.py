"""Three stored logins, and the session of an attacker with the role reveal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection

from tests.kit.declared import IP
from tests.kit.entries import NO_QUOTA
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.records.messages import SealedRecord


@pytest.fixture(scope="module")
def records(shared: Scratch) -> list[SealedRecord]:
    """Three logins: two of one address, and none of one device."""
    shared.sql(NO_QUOTA)
    shared.add_token_keys()
    keys = shared.write_keys()
    one, two, three = (sealed_record(keys, user_id=user) for user in ("ann", "bob", "cyd"))
    two.tokens[IP] = one.tokens[IP]
    with shared.loader() as loader:
        loader.load([one, two, three], [], keys)
    return [one, two, three]


@pytest.fixture
def session(shared: Scratch) -> Iterator[connection]:
    """A session of the attacker."""
    with shared.connect("reveal") as opened:
        yield opened
