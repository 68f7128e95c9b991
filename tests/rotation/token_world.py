"""Records with known values, and the invariants of their tokens at every instant of a rotation."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.fakes.record_finder import FakeRecordFinder
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault
from tests.kit.login_records import changed
from tests.kit.messages import event_of, message, texts_of
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.declaration.model import Declaration
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation import data_keys as rotate_keys
from vault_etl.rotation import workers


def event(number: int, declaration: Declaration = DEFAULT) -> bytes:
    """One of many messages with few values of each field; the subject is its values: three addresses, four devices."""
    of = event_of(declaration, number)
    texts = texts_of(of, *(number % (3 + place) for place in range(len(of.personal))))
    return message(of, " ".join(texts.values()), texts)


def token_vault(
    monkeypatch: pytest.MonkeyPatch, clock: object = None, declaration: Declaration = DEFAULT
) -> FakeVault:
    """Seven records in two ranges an event, three rows a page."""
    monkeypatch.setattr(workers, "PAGE_ROWS", 3)
    monkeypatch.setattr(rotate_keys, "ROWS_A_RANGE", 3)
    vault = FakeVault(clock, declaration)
    vault.store(*(event(number, declaration) for number in range(7)))
    return vault


def texts_in(vault: FakeVault, record: SealedRecord) -> dict[FieldName, bytes]:
    """The values of a record, by their fields."""
    personal = vault.declaration.event(record.event).personal
    texts = map(str.encode, record.subject.split())
    return dict(zip((value.field.name for value in personal), texts, strict=True))


class Watch:
    """Checks all rows after each call of any process.

    `left_out` are rows that must have no token after the cut-over.
    """

    def __init__(self, vault: FakeVault, left_out: Collection[uuid.UUID] = ()) -> None:
        self._vault = vault
        self._left_out = left_out
        self._ring = vault.ring()
        self._checked: object = None
        self.looks = 0

    def look(self) -> None:
        """Check all rows, unless no row and no key has changed since the last check: most calls change none."""
        self.looks += 1
        database = self._vault.database
        now = (list(database.records.values()), list(database.keys.values()))
        if now != self._checked:
            self._check()
            self._checked = now

    def around(self, _: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        """Check after each call, after an error too."""
        try:
            return call()
        finally:
            self.look()

    def _check(self) -> None:
        """Rows with equal values share a token, rows with others do not, and `find` finds all rows."""
        for field in self._vault.declaration.field_names:
            tokens: dict[bytes, set[uuid.UUID | None]] = {}
            holders: dict[bytes, set[uuid.UUID]] = {}
            for record in self._vault.database.records.values():
                value = texts_in(self._vault, record).get(field)
                if (
                    value is None or not record.ciphertexts
                ):  # its event has no such value, or it was erased
                    continue
                holders.setdefault(value, set()).add(record.record_id)
                if record.record_id not in self._left_out:
                    tokens.setdefault(value, set()).add(record.tokens.get(field))
            assert all(len(shared) == 1 for shared in tokens.values()), (
                f"a duplicate is missed: {tokens}"
            )
            assert len(set[uuid.UUID | None]().union(*tokens.values())) == len(tokens), (
                "no duplicates"
            )
            for value, expected in holders.items():
                assert self._found(field, value) == expected, f"not found: {field}"

    def _found(self, field: FieldName, value: bytes) -> set[uuid.UUID]:
        tokens = [t.token(Pii(value)) for t in self._ring.field_tokenizers(field)]
        holding = FakeRecordFinder(self._vault.database).holders(field, tokens, 1_000)
        return {holder.record_id for holder in holding.newest}


def watched(
    vault: FakeVault, watch: Watch, tap: Callable[[object], Any] = lambda p: p
) -> FakeVault:
    """The same vault through this tap, with a check after every call of a port."""
    return vault.tapped(lambda part: Tap(tap(part), watch.around))


def forge(vault: FakeVault, record_id: uuid.UUID, **changes: object) -> None:
    """Change columns of a row, as a process with the owner's rights could."""
    row = vault.database.records[record_id]
    vault.database.records[record_id] = changed(row, **changes)


def generations(vault: FakeVault) -> Mapping[KeyState, set[int | None]]:
    """The generations of token keys in each state."""
    found: dict[KeyState, set[int | None]] = {}
    for key in vault.database.keys.values():
        if key.purpose is KeyPurpose.TOKEN:
            found.setdefault(key.state, set()).add(key.generation)
    return found


def generations_in_rows(vault: FakeVault) -> set[tuple[int | None, int | None]]:
    """The generations of both sets of tokens, of the rows with a token."""
    return {
        (r.token_generation, r.next_token_generation)
        for r in vault.database.records.values()
        if r.ciphertexts
    }


CUT_OVER = {KeyState.ACTIVE: {2}, KeyState.DECRYPT_ONLY: {1}}
"""The result of `generations` after a rotation."""
