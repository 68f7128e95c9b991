"""Showing a quarantined message: the order of the calls, and that nothing comes out when anything is wrong."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from tests.kit.declared import FIELDS
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.quarantine import FakeQuarantine
from tests.kit.fakes.quarantined import quarantine
from tests.kit.fakes.tap import Recorder
from tests.kit.fakes.vault import FakeVault, reveal_request
from vault_etl.audit.entries import Action, AuditRequest, Phase
from vault_etl.base.errors import (
    AuditError,
    DeniedError,
    IntegrityError,
    KeyUnavailableError,
    NotFoundError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.quarantine.read import ShowQuarantined

BODY = b"\xff\x00 not text, with 198.51.100.7 in it\n"


@pytest.fixture
def row(fake_vault: FakeVault) -> uuid.UUID:
    """A quarantined message."""
    (record_id,) = quarantine(fake_vault, BODY)
    return record_id


def show(vault: FakeVault) -> ShowQuarantined:
    """In a new process."""
    reader = FakeQuarantine(vault.database, vault.loader)
    return ShowQuarantined(vault.audit, vault.audit, reader, vault.ring())


def request(record_id: uuid.UUID | None) -> AuditRequest:
    """A request to show it."""
    asked = reveal_request(record_id, QUARANTINE)
    return dataclasses.replace(asked, action=Action.QUARANTINE_SHOW)


def outcome(vault: FakeVault) -> tuple[str, str | None]:
    """Decision and error code of the newest entry, which is an outcome."""
    entry = vault.database.audit[-1]
    assert entry.phase == Phase.OUTCOME
    return entry.decision, entry.error_code


def test_the_body_comes_back_byte_for_byte(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """With why and where, and the receipt of the intent."""
    shown = show(fake_vault)(request(row))
    assert shown.body is not None
    assert shown.body.expose() == BODY
    assert (shown.row.record_id, shown.row.reason_code, shown.row.path) == (
        row,
        "field_too_long",
        "$.user_id",
    )
    assert shown.receipt.seq == fake_vault.database.audit[-2].seq
    assert outcome(fake_vault) == ("done", None)


def test_intent_disclosure_unwrap_outcome_in_this_order(
    fake_vault: FakeVault, row: uuid.UUID
) -> None:
    """The intent is committed before any request, and the outcome before any answer."""
    recorder = Recorder()
    show(fake_vault.tapped(recorder.tap))(request(row))
    calls = recorder.calls
    assert calls[0] == "intend"
    assert calls[-1] == "conclude"
    assert calls.index("intend") < calls.index("disclose") < calls.index("unwrap")
    assert calls.count("intend") == calls.count("disclose") == calls.count("conclude") == 1


def test_showing_a_message_uses_no_key_of_a_field(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """A caller who may open quarantine alone can show messages; no token is made."""
    fake_vault.kms.denied = set(FIELDS) - {QUARANTINE}
    fake_vault.kms.unwrapped.clear()
    assert show(fake_vault)(request(row)).body is not None
    assert len(fake_vault.kms.unwrapped) == 1


def test_without_an_intent_no_body_is_disclosed(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """No body is disclosed, and KMS is not called."""
    fake_vault.audit.broken = {Phase.INTENT}
    recorder = Recorder()
    with pytest.raises(AuditError):
        show(fake_vault.tapped(recorder.tap))(request(row))
    assert recorder.calls == ["intend"]


def test_without_an_outcome_nothing_is_returned(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """The body was open in memory, and stays there."""
    fake_vault.audit.broken = {Phase.OUTCOME}
    with pytest.raises(AuditError):
        show(fake_vault)(request(row))
    assert fake_vault.database.audit[-1].phase == Phase.INTENT


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize("record_id", [uuid.UUID(int=4711), None])
def test_an_unknown_message_is_not_found(
    fake_vault: FakeVault, record_id: uuid.UUID | None
) -> None:
    """On the record too; a request without an id is no way to all of them."""
    with pytest.raises(NotFoundError):
        show(fake_vault)(request(record_id))
    assert outcome(fake_vault) == ("failed", "not_found")


def test_a_record_is_no_quarantined_message(fake_vault: FakeVault) -> None:
    """Fields of a record are revealed, and not shown."""
    (record_id,) = fake_vault.store(login_event())
    with pytest.raises(NotFoundError):
        show(fake_vault)(request(record_id))


def test_a_body_that_was_erased_is_none(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """Reason and path stay known, and no key is unwrapped."""
    fake_vault.database.erased_bodies.add(row)
    fake_vault.kms.down = True
    shown = show(fake_vault)(request(row))
    assert (shown.body, shown.row.reason_code) == (None, "field_too_long")
    assert outcome(fake_vault) == ("done", None)


def test_a_body_of_another_row_is_an_integrity_failure(
    fake_vault: FakeVault, row: uuid.UUID
) -> None:
    """The same body under the same key does not open either."""
    (other,) = quarantine(fake_vault, BODY)
    moved = fake_vault.database.quarantine[other].body_ciphertext
    fake_vault.database.quarantine[row] = dataclasses.replace(
        fake_vault.database.quarantine[row], body_ciphertext=moved
    )
    with pytest.raises(IntegrityError):
        show(fake_vault)(request(row))
    assert outcome(fake_vault) == ("failed", "integrity")


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x02" + bytes(64), bytes(49)])
def test_a_body_of_no_format_is_an_integrity_failure(
    fake_vault: FakeVault, row: uuid.UUID, stored: bytes
) -> None:
    """Damage is reported as damage."""
    fake_vault.database.quarantine[row] = dataclasses.replace(
        fake_vault.database.quarantine[row], body_ciphertext=stored
    )
    with pytest.raises(IntegrityError):
        show(fake_vault)(request(row))
    assert outcome(fake_vault) == ("failed", "integrity")


def test_a_refusal_of_kms_is_raised_and_logged(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """The caller may open the fields of records and nothing else."""
    fake_vault.kms.denied = {QUARANTINE}
    with pytest.raises(KeyUnavailableError):
        show(fake_vault)(request(row))
    assert outcome(fake_vault) == ("failed", "key_unavailable")


def test_an_outage_of_kms_is_raised_and_logged(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """The log has an intent, and no body is returned."""
    fake_vault.kms.down = True
    with pytest.raises(UnavailableError):
        show(fake_vault)(request(row))
    assert outcome(fake_vault) == ("failed", "unavailable")


def test_an_intent_is_good_for_one_access(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """A request is good for one access as well."""
    asked = request(row)
    show(fake_vault)(asked)
    with pytest.raises(VaultEtlError):
        show(fake_vault)(asked)


def test_an_intent_to_reveal_opens_no_body(fake_vault: FakeVault, row: uuid.UUID) -> None:
    """The database releases by the action that the log names: the body counts as not there."""
    asked = dataclasses.replace(request(row), action=Action.REVEAL)
    assert show(fake_vault)(asked).body is None
    with pytest.raises(DeniedError):
        show(fake_vault)(dataclasses.replace(request(row), action=Action.QUARANTINE_RETRY))
