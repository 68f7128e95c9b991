"""Reveal: the order of the calls, and that nothing comes out when anything is wrong."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS, login_place
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.tap import Recorder, Tap
from tests.kit.fakes.vault import FakeVault, reveal_request
from tests.kit.login_records import changed
from vault_etl.audit.entries import Action, Phase
from vault_etl.base.errors import (
    AuditError,
    DeniedError,
    IntegrityError,
    KeyUnavailableError,
    NotFoundError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.sealing import Sealer


@pytest.fixture
def record(fake_vault: FakeVault) -> uuid.UUID:
    """A stored record."""
    (record_id,) = fake_vault.store(login_event(ip=" 198.51.100.7", device_id="593-47-5928"))
    return record_id


def outcome(vault: FakeVault) -> tuple[str, str | None]:
    """Decision and error code of the newest entry, which is an outcome."""
    entry = vault.database.audit[-1]
    assert entry.phase == Phase.OUTCOME
    return entry.decision, entry.error_code


def forge(vault: FakeVault, record_id: uuid.UUID, **changes: object) -> None:
    """Change columns of a row, as a caller with the owner's rights could."""
    row = vault.database.records[record_id]
    vault.database.records[record_id] = changed(row, **changes)


def test_the_originals_come_back_byte_for_byte(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """Both fields, with the receipt of the intent."""
    revealed = fake_vault.reveal()(reveal_request(record))
    values = {field: value.expose() if value else None for field, value in revealed.values.items()}
    assert values == {IP: b" 198.51.100.7", DEVICE_ID: b"593-47-5928"}
    assert revealed.record_id == record
    assert revealed.receipt.seq == fake_vault.database.audit[-2].seq
    assert outcome(fake_vault) == ("done", None)


def test_a_masked_reveal_returns_the_ends_alone(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """The full values do not leave the service; they were opened, and their tokens checked, as ever."""
    request = dataclasses.replace(reveal_request(record), action=Action.REVEAL_MASKED)
    shown = fake_vault.reveal()(request).values
    assert {field: value.expose() for field, value in shown.items() if value} == {
        IP: b"*.*.*.7",
        DEVICE_ID: b"*28",
    }
    forge(fake_vault, record, tokens={})
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(dataclasses.replace(request, request_id=uuid.uuid4()))


def test_intent_disclosure_unwrap_outcome(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """The intent is committed before anything is asked for, the outcome before anything is returned."""
    recorder = Recorder()
    fake_vault.tapped(recorder.tap).reveal()(reveal_request(record))
    calls = recorder.calls
    assert calls[0] == "intend"
    assert calls[-1] == "conclude"
    assert calls.index("intend") < calls.index("disclose") < calls.index("unwrap")
    assert calls.count("intend") == calls.count("disclose") == calls.count("conclude") == 1


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_only_what_was_asked_for_is_disclosed_and_unwrapped(
    fake_vault: FakeVault, record: uuid.UUID, field: FieldName
) -> None:
    """No key of the other field is touched, of data or of tokens."""
    fake_vault.kms.unwrapped.clear()
    revealed = fake_vault.reveal()(reveal_request(record, field))
    assert set(revealed.values) == {field}
    unwrapped = [fake_vault.database.keys[key_id] for key_id in fake_vault.kms.unwrapped]
    assert {key.field for key in unwrapped} == {field}


def test_without_an_intent_nothing_is_asked_for(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """A value that is not disclosed needs no KMS."""
    fake_vault.audit.broken = {Phase.INTENT}
    recorder = Recorder()
    with pytest.raises(AuditError):
        fake_vault.tapped(recorder.tap).reveal()(reveal_request(record))
    assert recorder.calls == ["intend"]


def test_without_an_outcome_nothing_is_returned(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """The values were open in memory, and stay there."""
    fake_vault.audit.broken = {Phase.OUTCOME}
    with pytest.raises(AuditError):
        fake_vault.reveal()(reveal_request(record))
    assert fake_vault.database.audit[-1].phase == Phase.INTENT


def test_an_unknown_record_is_not_found(fake_vault: FakeVault) -> None:
    """On the record too."""
    with pytest.raises(NotFoundError):
        fake_vault.reveal()(reveal_request(uuid.UUID(int=4711)))
    assert outcome(fake_vault) == ("failed", "not_found")


@pytest.mark.usefixtures("record")
def test_a_request_without_a_record_finds_none(fake_vault: FakeVault) -> None:
    """Such a request does not disclose all records."""
    with pytest.raises(NotFoundError):
        fake_vault.reveal()(reveal_request(None))


def test_a_refusal_of_kms_is_raised_and_logged(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """If one field may not be opened, no field is returned."""
    fake_vault.kms.denied = {DEVICE_ID}
    with pytest.raises(KeyUnavailableError):
        fake_vault.reveal()(reveal_request(record, IP, DEVICE_ID))
    assert outcome(fake_vault) == ("failed", "key_unavailable")


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_who_may_open_one_field_needs_nothing_of_the_other(
    fake_vault: FakeVault, record: uuid.UUID, field: FieldName
) -> None:
    """IAM lets a person open `ip` and never `device_id`."""
    fake_vault.kms.denied = set(PERSONAL_FIELDS) - {field}
    assert fake_vault.reveal()(reveal_request(record, field)).values[field] is not None


def test_a_value_that_has_no_token_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """The ciphertext opens, but no event had this value; the error does not show it."""
    place = login_place(IP, record, "user-1")
    sealer = Sealer([fake_vault.leases().data_key(IP, 1)])
    sealed = sealer.seal(Pii(b"no-address-4711"), place)
    fake_vault.database.records[record].ciphertexts[IP] = sealed
    with pytest.raises(IntegrityError) as caught:
        fake_vault.reveal()(reveal_request(record, IP))
    assert caught.value.__context__ is None


def test_an_outage_of_kms_is_raised_and_logged(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """The log has an intent, and no value is returned."""
    fake_vault.kms.down = True
    with pytest.raises(UnavailableError):
        fake_vault.reveal()(reveal_request(record))
    assert outcome(fake_vault) == ("failed", "unavailable")


def test_an_intent_discloses_once(fake_vault: FakeVault, record: uuid.UUID) -> None:
    """A request is good for one reveal."""
    request = reveal_request(record)
    fake_vault.reveal()(request)
    with pytest.raises(VaultEtlError):
        fake_vault.reveal()(request)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_field_that_was_erased_is_none(
    fake_vault: FakeVault, record: uuid.UUID, field: FieldName
) -> None:
    """The other field still opens."""
    row = fake_vault.database.records[record]
    del row.ciphertexts[field]
    del row.tokens[field]
    revealed = fake_vault.reveal()(reveal_request(record))
    assert [f for f, value in revealed.values.items() if value is None] == [field]
    assert outcome(fake_vault) == ("done", None)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_token_that_is_not_that_of_the_value_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID, field: FieldName
) -> None:
    """The token of the opened value is compared, for each field, and no field is returned."""
    row = fake_vault.database.records[record]
    forge(fake_vault, record, tokens={**row.tokens, field: uuid.UUID(int=4711)})
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record))
    assert outcome(fake_vault) == ("failed", "integrity")


def test_a_token_that_was_erased_alone_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """Erasing takes both."""
    forge(fake_vault, record, tokens={})
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record))


@pytest.mark.parametrize("generation", [0, 2, 32_767])
def test_a_generation_without_a_key_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID, generation: int
) -> None:
    """A forged row could name one to get round the check."""
    forge(fake_vault, record, token_generation=generation)
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record))


def test_a_row_of_the_pending_generation_is_checked_against_it(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """While a token rotation runs, and just after its cut-over."""
    fake_vault.add_token_keys(2, KeyState.PENDING)
    (newer,) = fake_vault.store(login_event())
    row = fake_vault.database.records[newer]
    forge(fake_vault, newer, tokens=row.next_tokens, token_generation=2)
    for record_id in (newer, record):
        assert fake_vault.reveal()(reveal_request(record_id)).values[IP] is not None


def test_a_cut_over_in_the_middle_is_no_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """The row was read before it, and its token key, which is retired now, after it."""

    def cutting_over(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "disclose":
            fake_vault.rotate_tokens()
        return answer

    revealed = fake_vault.tapped(lambda part: Tap(part, cutting_over)).reveal()(
        reveal_request(record)
    )
    assert {value.expose() for value in revealed.values.values() if value} == {
        b" 198.51.100.7",
        b"593-47-5928",
    }


def test_a_ciphertext_from_another_row_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """The same value under the same key does not open either: it was another person's login."""
    (other,) = fake_vault.store(login_event(ip=" 198.51.100.7", user_id="user-2"))
    forge(fake_vault, record, ciphertexts=fake_vault.database.records[other].ciphertexts)
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record))


def test_a_row_given_to_another_person_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """The person is part of what was sealed."""
    forge(fake_vault, record, user_id="user-2")
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record))


def test_fields_that_were_swapped_are_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """A person allowed to open one field cannot have the other put in its place."""
    ip, device = (fake_vault.database.records[record].ciphertexts[f] for f in PERSONAL_FIELDS)
    forge(fake_vault, record, ciphertexts={IP: device, DEVICE_ID: ip})
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record, IP))


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x02" + bytes(64), bytes(49)])
def test_a_ciphertext_of_no_format_is_an_integrity_failure(
    fake_vault: FakeVault, record: uuid.UUID, stored: bytes
) -> None:
    """Damage is reported as damage."""
    fake_vault.database.records[record].ciphertexts[IP] = stored
    with pytest.raises(IntegrityError):
        fake_vault.reveal()(reveal_request(record))
    assert outcome(fake_vault) == ("failed", "integrity")


def test_a_refused_disclosure_is_reported_and_logged(
    fake_vault: FakeVault, record: uuid.UUID
) -> None:
    """An intent of another login is refused."""
    fake_vault.database.disclosed.update(range(100))
    with pytest.raises(DeniedError):
        fake_vault.reveal()(reveal_request(record))
    assert outcome(fake_vault) == ("failed", "denied")
