"""Connections: the length of their life, and when their password is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import pytest

from tests.kit.scratch import Scratch
from tests.kit.waiting import until
from vault_etl.base.errors import DeniedError
from vault_etl.platform import postgres
from vault_etl.platform.postgres import Database

LOGIN = "test_ingest"


class Passwords:
    """Gives the passwords in their order, and then the last password each time."""

    def __init__(self, *passwords: str) -> None:
        self._left = list(passwords)
        self.asked = 0

    def __call__(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """The next one."""
        assert options["user"] == LOGIN
        self.asked += 1
        return {"password": self._left.pop(0) if len(self._left) > 1 else self._left[0]}


def opened(scratch: Scratch, passwords: Passwords) -> Database:
    """A connection that asks these passwords."""
    url = scratch.url("ingest").replace(f":{right(scratch)}@", "@")
    return Database(url, password=passwords)


def right(scratch: Scratch) -> str:
    """The password."""
    return scratch.server.passwords.of(LOGIN)


def session(database: Database) -> int:
    """The number of the session, in which a temporary table is left."""
    with database.transaction() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS left_there ()")
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()
        return int(pid)


def test_a_password_that_is_refused_is_asked_for_once_more(shared: Scratch) -> None:
    """Another password may be there by then. The second refusal is reported, without a third attempt."""
    changed = Passwords("wrong", right(shared))
    with closing(opened(shared, changed)) as database:
        session(database)
    assert changed.asked == 2
    wrong = Passwords("wrong")
    with closing(opened(shared, wrong)) as database, pytest.raises(DeniedError):
        session(database)
    assert wrong.asked == 2


def test_a_connection_ends_between_two_transactions(
    shared: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its temporary table, which kept the cluster's oldest rows from being frozen, ends with it."""
    passwords = Passwords(right(shared))
    with closing(opened(shared, passwords)) as database:
        first = session(database)
        assert session(database) == first
        monkeypatch.setattr(postgres, "LIFE_S", 0.0)
        database.close()
        second = session(database)
        third = session(database)
    assert len({first, second, third}) == 3
    assert passwords.asked == 3
    # A server ends a session after the client's call has returned.
    until(lambda: shared.value("SELECT count(*) FROM pg_class WHERE relname = 'left_there'") == 0)


def test_the_life_of_a_connection_is_bounded_and_differs() -> None:
    """Half an hour at most, so that no worker reconnects with all the others."""
    lives = {postgres.life() for _ in range(100)}
    assert len(lives) > 90
    assert all(0.8 * 1_800 <= life <= 1_800 for life in lives)
