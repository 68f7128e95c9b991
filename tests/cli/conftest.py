"""Vaults that several CLI tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.events import events
from tests.conftest import copied
from tests.filled_vault import filled_vault
from tests.vault import Vault, sample_events

IMPATIENT = {"VAULT_ETL_DRAIN_WAIT": "0"}
"""The emulator brings what it has at once: a drain need not wait."""


@pytest.fixture(scope="session")
def loaded(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with the 100 samples in it, for tests that only look."""
    with filled_vault(keyed, tmp_path_factory.mktemp("loaded"), sample_events()) as vault:
        yield vault


@pytest.fixture
def quick(vault: Vault) -> Vault:
    """A vault whose drains do not wait for more."""
    vault.overrides.update(IMPATIENT)
    return vault


@pytest.fixture(scope="session")
def three(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with three records and a quarantined message, to be copied: no session may stay in it."""
    with copied(keyed, tmp_path_factory.mktemp("three")) as vault:
        vault.overrides.update(IMPATIENT)
        vault.renew_queue()
        vault.send([*events(3), "not json"])
        vault.ok("ingest", "ingest")
        yield vault


@pytest.fixture
def filled(three: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with three records, a quarantined message, and an empty queue."""
    with copied(three, tmp_path) as vault:
        vault.renew_queue()
        yield vault
