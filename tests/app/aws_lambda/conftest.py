"""A cold Lambda function in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.cold_function import cold_function
from tests.kit.vault import Vault


@pytest.fixture
def function(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """A cold function in this process, with the environment and the rights of the role ingest."""
    with cold_function(vault, monkeypatch) as cold:
        yield cold
