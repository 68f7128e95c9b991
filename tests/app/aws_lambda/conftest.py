"""A cold Lambda function in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.vault import Vault
from vault_etl import aws_lambda


@pytest.fixture
def function(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """A cold function in this process, with the environment and the rights of the role ingest."""
    for name, value in vault.environment("ingest").items():
        monkeypatch.setenv(name, value)
    aws_lambda._writer.cache_clear()
    aws_lambda._log.cache_clear()
    yield vault
    aws_lambda._writer.cache_clear()
    aws_lambda._log.cache_clear()
