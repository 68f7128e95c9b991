"""A cold Lambda function in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kit.vault import Vault
from vault_etl import aws_lambda


@contextmanager
def cold_function(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """Run the block as a function with the environment and the rights of the role ingest; yield the vault."""
    for name, value in vault.environment("ingest").items():
        monkeypatch.setenv(name, value)
    _forget_what_a_warm_function_keeps()
    yield vault
    _forget_what_a_warm_function_keeps()


def _forget_what_a_warm_function_keeps() -> None:
    aws_lambda._writer.cache_clear()
    aws_lambda._log.cache_clear()
