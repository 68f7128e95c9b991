"""A vault with quarantined messages, for tests of the real commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kit.quarantined import quarantine
from tests.kit.vault import Vault
from tests.kit.vaults import IMPATIENT, copied
from vault_etl.event.rejection import Reason

GENEROUS: dict[str, object] = {"reveals_an_hour": 100_000, "purposes": {}}
STEERING = '{"ip": "203.0.113.9", "user_id": "\x1b[2J\x1b]0;owned\x07"}\r\n ip: 1.2.3.4 \u202e é'
BYTES = b"\xff\xfe\x00 no text \n"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A vault with three quarantined messages and an erased one, by their record ids, oldest first."""

    vault: Vault
    ids: list[str]
    text: str
    raw: str
    erased: str

    def show(self, record_id: str) -> tuple[str, ...]:
        """The command that shows it."""
        return ("quarantine", "show", record_id, "--reason", "a test asks")


@contextlib.contextmanager
def held_quarantine(keyed: Vault, path: Path) -> Iterator[Quarantine]:
    """Yield a copy of the vault with three quarantined messages and an erased one."""
    with copied(keyed, path) as vault:
        vault.overrides.update(IMPATIENT)
        vault.set_policy(GENEROUS)
        (text,) = quarantine(vault, STEERING.encode(), reason=Reason.NOT_JSON)
        (raw,) = quarantine(vault, BYTES, reason=Reason.NOT_UTF8)
        erased, last = quarantine(vault, b"{}", b"[]", reason=Reason.FIELD_NULL, path="$.user_id")
        vault.sql("UPDATE quarantine SET body_ciphertext = NULL WHERE record_id = %s", erased)
        yield Quarantine(vault, [text, raw, erased, last], text, raw, erased)
