"""Unit tests need no network and no environment; here neither can be had by accident."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import disable_socket

from vault_etl.base import logs

# The same examples every time, so that a clone's `make test` says what ours said; and no deadline or
# other clock, since a busy machine is no bug.
settings.register_profile(
    "vault-etl",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `make test-fast` draws fewer examples, where a test does not say how many; `make test` draws 100.
settings.register_profile("fast", settings.get_profile("vault-etl"), max_examples=25)
settings.load_profile("vault-etl")


@pytest.fixture(autouse=True)
def _isolated(request: pytest.FixtureRequest) -> Iterator[None]:
    """A unit test cannot create a socket or look a name up, and its environment is as `env -i` leaves it.

    pytest's own variables stay. No other test is isolated. Every test logs as a command does, whatever the tests
    before it have set. One fixture does it all: it is set up fourteen thousand times.
    """
    logs.configure("json", verbose=False, quiet=False)
    if not request.node.get_closest_marker("unit"):
        yield
        return
    disable_socket()  # until pytest-socket tears the test down
    removed = {name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")}
    for name in removed:
        del os.environ[name]
    yield
    os.environ.update(removed)
