"""A rotation of the token keys that was interrupted is continued, and no duplicate is missed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import BOTH, DEFAULT, SHOP, each_apart
from tests.kit.fakes.tap import Breaker
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import KilledError, seen_by
from tests.rotation.token_world import (
    CUT_OVER,
    Watch,
    event,
    generations,
    generations_in_rows,
    token_vault,
    watched,
)
from vault_etl.base.errors import AuditError, ConfigurationError, UnavailableError
from vault_etl.crypto.keys import KeyState

CALLS = {DEFAULT: 55, SHOP: 71}
"""The number of calls of all ports, in the rotation of the fixture below."""

EACH_CALL = each_apart({each: range(calls) for each, calls in CALLS.items()})


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges an event, three a page."""
    return token_vault(monkeypatch, declaration=request.param)


def go_on(vault: FakeVault, watch: Watch) -> None:
    """Write, run the rotation again, write again, under watch."""
    was_cut_over = generations(vault).get(KeyState.ACTIVE) == {2}
    vault.store(*(event(number, vault.declaration) for number in (7, 8)))
    watch.look()
    if was_cut_over:
        with pytest.raises(ConfigurationError):
            watched(vault, watch).rotate_tokens()
        assert generations(vault) == CUT_OVER
    else:
        assert watched(vault, watch).rotate_tokens().generation == 2
        assert generations(vault) == CUT_OVER
        assert generations_in_rows(vault) == {(2, 1)}
    vault.store(*(event(number, vault.declaration) for number in (9, 10)))
    watch.look()


def test_the_sweep_breaks_every_call(vault: FakeVault) -> None:
    """The next tests cover as many calls as they claim."""
    breaker, watch = Breaker(10**9, UnavailableError("away")), Watch(vault)
    watched(vault, watch, breaker.tap).rotate_tokens()
    calls = CALLS[vault.declaration]
    assert (breaker.calls, watch.looks) == (calls, calls)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("vault", "at"), EACH_CALL, indirect=["vault"])
def test_an_interrupted_rotation_is_continued(vault: FakeVault, at: int, after: bool) -> None:
    """At any point: the next run finishes, unless the cut-over was made, and makes no third generation."""
    watch = Watch(vault)
    breaker = Breaker(at, UnavailableError("away"), after=after)
    try:
        watched(vault, watch, breaker.tap).rotate_tokens()
    except (UnavailableError, AuditError):
        pass
    else:
        assert breaker.broken == "free"
    go_on(vault, watch)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("vault", "at"), EACH_CALL, indirect=["vault"])
def test_a_killed_rotation_is_continued(vault: FakeVault, at: int, after: bool) -> None:
    """A killed process frees no claim; the next run still finishes."""
    watch = Watch(vault)
    breaker = Breaker(at, KilledError(), after=after, for_good=True)
    with pytest.raises(KilledError):
        watched(vault, watch, breaker.tap).rotate_tokens()
    go_on(vault, watch)


def test_a_cut_over_whose_answer_was_lost_is_found_as_done(vault: FakeVault) -> None:
    """The next run reports that the old generation is still kept: no failure, and no key is made."""

    def losing(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "cut_over":
            raise UnavailableError("away")
        return answer

    with pytest.raises(UnavailableError):
        seen_by(vault, losing).rotate_tokens()
    before = dict(vault.database.keys)
    assert generations(vault) == CUT_OVER
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="still kept"):
            vault.rotate_tokens()
        assert vault.database.keys == before
