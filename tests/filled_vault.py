"""A vault that several tests of one file share, filled by the real commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import copied
from tests.vault import Vault


@contextmanager
def filled_vault(keyed: Vault, home: Path, bodies: Iterable[str]) -> Iterator[Vault]:
    """A copy of a vault with keys, with no quota that matters, into which these bodies are loaded."""
    with copied(keyed, home) as vault:
        fill(vault, bodies)
        yield vault


def fill(vault: Vault, bodies: Iterable[str]) -> None:
    """Load these bodies into a vault with keys; from now on no quota matters."""
    vault.overrides["VAULT_ETL_DRAIN_WAIT"] = "0"
    vault.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
    vault.renew_queue()
    vault.send(bodies)
    vault.ok("ingest", "ingest")
