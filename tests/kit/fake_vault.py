"""A vault in memory: the fakes of all that is outside of a service."""

from __future__ import annotations

import pytest

from tests.kit.fakes.vault import FakeVault


@pytest.fixture
def fake_vault() -> FakeVault:
    """An empty vault with token keys."""
    return FakeVault()
