"""Services run on the fakes of all ports."""

from __future__ import annotations

import pytest

from tests.fakes.vault import FakeVault


@pytest.fixture
def vault() -> FakeVault:
    """An empty vault with token keys."""
    return FakeVault()
