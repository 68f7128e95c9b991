"""The invariants of a vault that tests of rotations check after each call of a port and at the end."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault, reveal_request
from tests.kit.messages import numbered
from vault_etl.crypto.ciphertext import Ciphertext
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.declaration.model import Declaration
from vault_etl.rotation import data_keys as rotate_keys
from vault_etl.rotation import workers

RECORDS = 7

EVERY_ADDRESS = {f"198.51.100.{n}".encode() for n in range(RECORDS)}


def filled_vault(
    monkeypatch: pytest.MonkeyPatch, clock: object = None, declaration: Declaration = DEFAULT
) -> FakeVault:
    """Seven records in two ranges an event and a quarantined body in one range, three rows a page."""
    monkeypatch.setattr(workers, "PAGE_ROWS", 3)
    monkeypatch.setattr(rotate_keys, "ROWS_A_RANGE", 7)
    vault = FakeVault(clock, declaration)
    vault.store(*(numbered(declaration, n) for n in range(RECORDS)))
    vault.writer().write(vault.receive(b"junk"))
    return vault


def all_values(vault: FakeVault) -> int:
    """The number of values that a rotation of all keys re-encrypts, with the quarantined body."""
    return len(vault.database.ciphertexts())


class KilledError(BaseException):
    """Ends a process without any clean-up."""


class Versions:
    """Every ciphertext that each value has had."""

    def __init__(self, vault: FakeVault) -> None:
        self._vault = vault
        self._seen: dict[tuple[FieldName, uuid.UUID], list[bytes]] = {}
        self.look()

    def look(self) -> None:
        """Record the ciphertexts of now."""
        for field, record_id, _, ciphertext in self._vault.database.ciphertexts():
            seen = self._seen.setdefault((field, record_id), [])
            if not seen or seen[-1] != ciphertext:
                seen.append(ciphertext)

    def around(self, _: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        """Check after each call."""
        try:
            return call()
        finally:
            self.look()

    @property
    def times_reencrypted(self) -> set[int]:
        """How often each value was re-encrypted since then: {1} if each was once."""
        return {len(seen) - 1 for seen in self._seen.values()}


def seen_by(vault: FakeVault, around: Callable[[str, Callable[[], Any]], Any]) -> FakeVault:
    """The same vault, each call of a port made through `around`."""
    return vault.tapped(lambda part: Tap(part, around))


def key_ids(vault: FakeVault, *fields: FieldName) -> set[int]:
    """The keys that stored values of these fields are sealed under."""
    return {
        Ciphertext.parse(stored).key_id
        for field, _, _, stored in vault.database.ciphertexts()
        if not fields or field in fields
    }


def others(vault: FakeVault) -> tuple[FieldName, ...]:
    """The fields of data keys but for `ip`."""
    return tuple(field for field in vault.declaration.data_fields if field != IP)


def active_ids(vault: FakeVault) -> set[int]:
    """The keys that may seal new values."""
    return {k.key_id for k in vault.database.keys.values() if k.state is KeyState.ACTIVE}


def addresses(vault: FakeVault) -> set[bytes]:
    """Reveal every address."""
    revealed = [
        vault.reveal()(reveal_request(record_id, IP)).values[IP]
        for record_id in vault.database.records
    ]
    return {value.expose() for value in revealed if value}
