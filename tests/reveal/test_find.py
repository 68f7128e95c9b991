"""Find: the order of the calls, every generation, and a value that goes nowhere."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.record_finder import FakeRecordFinder
from tests.kit.fakes.tap import Recorder
from tests.kit.fakes.vault import FakeVault, find_request
from vault_etl.audit.entries import Phase
from vault_etl.base.errors import AuditError, ConfigurationError, KeyUnavailableError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.reveal.find import Find, FoundValue

ADDRESS = "198.51.100.7"


def find(vault: FakeVault, value: str = ADDRESS, field: FieldName = IP) -> FoundValue:
    """Find a value, in a new process."""
    service = Find(vault.audit, FakeRecordFinder(vault.database), vault.ring(), DEFAULT)
    return service(find_request(field), Pii.of_text(value), 10)


def ids(found: FoundValue) -> list[uuid.UUID]:
    """Return the records that hold the value."""
    listed = [holder.record_id for holder in found.holders.newest]
    assert found.holders.count == len(listed)
    return sorted(listed)


def test_intent_unwrap_search_outcome_in_this_order(fake_vault: FakeVault) -> None:
    """KMS is not called before the intent, and no answer is returned before the outcome."""
    fake_vault.store(login_event(ip=ADDRESS))
    recorder = Recorder()
    seen = fake_vault.tapped(recorder.tap)
    finder = recorder.tap(FakeRecordFinder(fake_vault.database))
    Find(seen.audit, finder, seen.ring(), DEFAULT)(find_request(), Pii.of_text(ADDRESS), 10)
    assert recorder.calls == ["intend", "field_token_keys", "unwrap", "holding", "conclude"]


def test_only_token_keys_of_that_field_are_unwrapped(fake_vault: FakeVault) -> None:
    """No data key, and no key of the other field, in any generation."""
    fake_vault.add_token_keys(2, KeyState.PENDING)
    fake_vault.store(login_event(ip=ADDRESS))
    fake_vault.kms.unwrapped.clear()
    find(fake_vault)
    keys = [fake_vault.database.keys[key_id] for key_id in fake_vault.kms.unwrapped]
    assert [(k.purpose, k.field) for k in keys] == [(KeyPurpose.TOKEN, IP)] * 2


def test_old_tokens_in_the_next_columns_are_found(fake_vault: FakeVault) -> None:
    """After a cut-over: a row that was left out, one that was not, and a new one, by the new token."""
    (left_out,) = fake_vault.store(login_event(ip=ADDRESS))
    fake_vault.add_token_keys(2, KeyState.PENDING)
    (both,) = fake_vault.store(login_event(ip=ADDRESS))
    for record_id in (left_out, both):
        row = fake_vault.database.records[record_id]
        fake_vault.database.records[record_id] = row._replace(
            tokens=row.next_tokens or {}, next_tokens=row.tokens
        )
    for key in list(fake_vault.database.keys.values()):
        if key.purpose is KeyPurpose.TOKEN:
            retired = key.generation == 1
            fake_vault.database.set_state(
                key.key_id, KeyState.DECRYPT_ONLY if retired else KeyState.ACTIVE
            )
    (new,) = fake_vault.store(login_event(ip=ADDRESS))
    found = find(fake_vault)
    assert ids(found) == sorted([left_out, both, new])
    assert found.token == fake_vault.database.records[new].tokens[IP]


@pytest.mark.parametrize("phase", Phase)
def test_without_the_log_there_is_no_answer(fake_vault: FakeVault, phase: Phase) -> None:
    """An intent that is not written asks nothing of KMS; an outcome that is not, withholds."""
    fake_vault.audit.broken.add(phase)
    fake_vault.kms.unwrapped.clear()
    with pytest.raises(AuditError):
        find(fake_vault)
    assert bool(fake_vault.kms.unwrapped) is (phase is Phase.OUTCOME)


def test_a_key_that_kms_refuses_is_an_outcome(fake_vault: FakeVault) -> None:
    """The record says that it failed, and why."""
    fake_vault.kms.denied.add(IP)
    with pytest.raises(KeyUnavailableError):
        find(fake_vault)
    last = fake_vault.database.audit[-1]
    assert (last.phase, last.decision, last.error_code) == ("outcome", "failed", "key_unavailable")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (IP, "198.51.100.777"),
        (IP, "canary.example.test"),
        (DEVICE_ID, " \u00a0 "),
    ],
)
def test_a_value_that_no_record_can_hold_is_no_access(
    fake_vault: FakeVault, field: FieldName, value: str
) -> None:
    """Such a value is refused before the intent, and the error does not contain the value."""
    with pytest.raises(UsageError) as raised:
        find(fake_vault, value, field)
    told = f"{raised.value} {raised.value.hint} {raised.value.__cause__}"
    assert value not in told
    assert fake_vault.database.audit == []


def test_without_token_keys_the_hint_says_what_to_run(fake_vault: FakeVault) -> None:
    """A vault without token keys needs `keys init`."""
    fake_vault.database.keys.clear()
    with pytest.raises(ConfigurationError) as raised:
        find(fake_vault)
    assert "keys init" in str(raised.value.hint)


def test_a_pending_generation_alone_is_not_enough(fake_vault: FakeVault) -> None:
    """A vault must have an active generation, whose token the answer shows."""
    for key in fake_vault.database.keys.values():
        assert key.generation == 1
    fake_vault.database.keys.clear()
    fake_vault.add_token_keys(2, KeyState.PENDING)
    with pytest.raises(ConfigurationError):
        find(fake_vault)
