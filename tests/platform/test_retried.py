"""Calls that are repeated while a lock is held, or a message is not taken."""

from __future__ import annotations

import time

import pytest

from vault_etl.base.errors import DeniedError
from vault_etl.platform.postgres_statement_errors import LockTimeoutError, retried_for_locks


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would be waited; nothing waits."""
    told: list[float] = []
    monkeypatch.setattr(time, "sleep", told.append)
    return told


class Fails:
    """Raises these errors, one in each call, and then returns the number of its calls."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self._errors = list(errors)

    def __call__(self) -> int:
        """Raise the next error, or return the number of calls."""
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.calls


def test_a_call_is_repeated_until_it_succeeds(waits: list[float]) -> None:
    """The waits double, and each has up to a second more at random."""
    blocked = Fails(*(LockTimeoutError(str(n)) for n in range(8)))
    assert retried_for_locks(tries=9, within=60)(blocked)() == 9
    for least, seconds in zip((0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5), waits, strict=True):
        assert least <= seconds <= least + 1


def test_the_last_error_is_raised(waits: list[float]) -> None:
    """After so many tries the error of the last one is the caller's."""
    blocked = Fails(*(LockTimeoutError(str(n)) for n in range(5)))
    with pytest.raises(LockTimeoutError, match="2"):
        retried_for_locks(tries=3)(blocked)()
    assert (blocked.calls, len(waits)) == (3, 2)


def test_another_error_is_not_repeated(waits: list[float]) -> None:
    """Only an error after which nothing has changed is a reason to call again."""
    refused = Fails(DeniedError("no"))
    with pytest.raises(DeniedError):
        retried_for_locks(tries=3)(refused)()
    assert (refused.calls, waits) == (1, [])


def test_no_try_begins_after_its_time(waits: list[float]) -> None:
    """A wait that would end too late is not begun."""
    blocked = Fails(LockTimeoutError("a"), LockTimeoutError("b"))
    with pytest.raises(LockTimeoutError, match="a"):
        retried_for_locks(tries=3, within=0.05)(blocked)()
    assert (blocked.calls, waits) == (1, [])
