"""Unit tests need no network and no environment; here neither can be had by accident."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, so that a clone's `make test` says what ours said; and no deadline or
# other clock, since a busy machine is no bug.
settings.register_profile(
    "vault-etl",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("vault-etl")


@pytest.fixture(autouse=True)
def _isolated(request: pytest.FixtureRequest) -> None:
    """A unit test is isolated; no other test is."""
    if request.node.get_closest_marker("unit"):
        request.getfixturevalue("_no_network")
        request.getfixturevalue("_empty_environment")


@pytest.fixture
def _no_network(socket_disabled: None) -> None:
    """Creating a socket, or looking a name up, raises."""


@pytest.fixture
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is as `env -i` leaves it, but for pytest's own variables."""
    for name in [name for name in os.environ if not name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
