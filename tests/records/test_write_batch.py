"""A batch behind the fence: keys that change during the batch, and rows that the database refuses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.declared import DEVICE_ID, FIELDS, IP, PERSONAL_FIELDS
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault, rotate_request
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.ciphertext import Ciphertext
from vault_etl.crypto.keys import KeyState
from vault_etl.event.rejection import Reason
from vault_etl.records.fenced_writes import MAX_FENCE_TRIES, KeysChanged
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.write_batch import MAX_REFUSED, REFUSED_WINDOW


def events(vault: FakeVault, *users: str) -> list[Message]:
    """One received message a user."""
    return vault.receive(*(login_event(user_id=user) for user in users))


def key_ids(vault: FakeVault) -> set[int]:
    """The keys that stored values are sealed under."""
    return {Ciphertext.parse(stored).key_id for *_, stored in vault.database.ciphertexts()}


def test_outcomes_are_in_the_order_of_the_messages(fake_vault: FakeVault) -> None:
    """Each message has one outcome; the extra fields of all messages are reported."""
    batch = fake_vault.receive(
        login_event(), b"junk", login_event(extra=1, more=2, **{"203.0.113.7": 3})
    )
    written = fake_vault.writer().write(batch)
    assert written.outcomes == [Outcome.STORED, Outcome.QUARANTINED, Outcome.STORED]
    assert written.extra_fields == {"extra": 1, "more": 1, "(others)": 1}
    assert written.reasons == {Reason.NOT_JSON: 1}
    assert written.cause is None
    again = fake_vault.writer().write(batch)
    assert again.outcomes == [Outcome.DUPLICATE, Outcome.ALREADY_QUARANTINED, Outcome.DUPLICATE]
    assert again.reasons == {}


def test_a_batch_makes_only_the_keys_that_it_needs(fake_vault: FakeVault) -> None:
    """A batch without a quarantined body makes no quarantine key."""
    fake_vault.writer().write(events(fake_vault, "a"))
    assert {key.field for key in fake_vault.database.keys.values() if not key.generation} == {
        IP,
        DEVICE_ID,
    }


def test_a_process_seals_all_its_batches_under_one_key_a_field(fake_vault: FakeVault) -> None:
    """The process uses the same key until the lease of the key ends."""
    writer = fake_vault.writer()
    for user in "abc":
        writer.write(events(fake_vault, user))
    assert len(key_ids(fake_vault)) == 2


def test_a_batch_under_retired_keys_is_sealed_again(fake_vault: FakeVault) -> None:
    """The fence refuses the batch, the keys are reloaded, and no value is stored under the retired keys."""
    writer = fake_vault.writer()
    writer.write(events(fake_vault, "a"))
    retired = set(fake_vault.keys.retire_data_keys(rotate_request(), FIELDS))
    before = key_ids(fake_vault)
    assert before == retired
    outcomes = writer.write(events(fake_vault, "b")).outcomes
    assert outcomes == [Outcome.STORED]
    new = key_ids(fake_vault) - before
    assert len(new) == 2
    assert all(fake_vault.database.keys[key_id].state is KeyState.ACTIVE for key_id in new)
    assert fake_vault.loader.batches == [1, 1, 1]


def test_a_batch_under_expired_keys_is_sealed_again(fake_vault: FakeVault) -> None:
    """The database's clock decides, which may run ahead of ours."""
    writer = fake_vault.writer()
    writer.write(events(fake_vault, "a"))
    fake_vault.clock.jump(dt.timedelta(hours=24))
    outcomes = writer.write(events(fake_vault, "b")).outcomes
    assert outcomes == [Outcome.STORED]
    assert len(key_ids(fake_vault)) == 4


def test_a_pending_generation_fills_the_next_tokens(fake_vault: FakeVault) -> None:
    """A writer that started earlier fills next tokens from its first batch after the generation becomes pending."""
    writer = fake_vault.writer()
    writer.write(events(fake_vault, "a"))
    fake_vault.add_token_keys(2, KeyState.PENDING)
    writer.write(events(fake_vault, "b"))
    by_user = {record.subject: record for record in fake_vault.database.records.values()}
    assert (by_user["a"].next_tokens, by_user["a"].next_token_generation) == (None, None)
    assert by_user["b"].next_token_generation == 2
    assert set(by_user["b"].next_tokens or {}) == set(PERSONAL_FIELDS)
    assert by_user["b"].tokens == by_user["a"].tokens
    assert by_user["b"].next_tokens != by_user["b"].tokens


def test_a_generation_that_becomes_pending_during_a_batch_is_noticed(fake_vault: FakeVault) -> None:
    """The fence compares the generations after the tokens were made, so no next token is missing."""

    def just_before_the_fence(name: str, call: Callable[[], Any]) -> object:
        if name == "load" and len(fake_vault.keys.token_keys()) == len(PERSONAL_FIELDS):
            fake_vault.add_token_keys(2, KeyState.PENDING)
        return call()

    writer = fake_vault.tapped(lambda part: Tap(part, just_before_the_fence)).writer()
    outcomes = writer.write(events(fake_vault, "a")).outcomes
    assert outcomes == [Outcome.STORED]
    (record,) = fake_vault.database.records.values()
    assert record.next_token_generation == 2
    assert fake_vault.loader.batches == [1, 1]


def test_the_new_generation_is_active_after_the_cut_over(fake_vault: FakeVault) -> None:
    """The active tokens are those that were the next tokens."""
    writer = fake_vault.writer()
    fake_vault.add_token_keys(2, KeyState.PENDING)
    writer.write(events(fake_vault, "a"))
    for key in fake_vault.keys.token_keys():
        old = key.generation == 1
        fake_vault.database.set_state(key.key_id, KeyState.DECRYPT_ONLY if old else KeyState.ACTIVE)
    writer.write(events(fake_vault, "b"))
    by_user = {record.subject: record for record in fake_vault.database.records.values()}
    assert (by_user["b"].token_generation, by_user["b"].next_tokens) == (2, None)
    assert by_user["b"].tokens == by_user["a"].next_tokens


def test_keys_that_change_under_every_try_are_tried_again_later(fake_vault: FakeVault) -> None:
    """After ten refusals in a row the batch waits as in an outage."""
    tries = []

    def changing(name: str, call: Callable[[], Any]) -> object:
        if name != "load":
            return call()
        tries.append(name)
        return KeysChanged()

    writer = fake_vault.tapped(lambda part: Tap(part, changing)).writer()
    written = writer.write(events(fake_vault, "a"))
    assert written.outcomes == [Outcome.RETRY]
    assert isinstance(written.cause, IncompleteError)
    assert len(tries) == MAX_FENCE_TRIES == 10
    assert fake_vault.database.records == {}


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(lambda bad: sum(bad) <= MAX_REFUSED))
def test_exactly_the_refused_rows_are_quarantined(bad: list[bool]) -> None:
    """The batch is split until each refused row is alone; every other row is stored."""
    vault = FakeVault()
    users = [f"{'bad' if is_bad else 'good'}-{n}" for n, is_bad in enumerate(bad)]
    vault.loader.refused_users = frozenset(user for user in users if user.startswith("bad"))
    outcomes = vault.writer().write(events(vault, *users)).outcomes
    assert outcomes == [Outcome.QUARANTINED if is_bad else Outcome.STORED for is_bad in bad]
    stored = {record.subject for record in vault.database.records.values()}
    assert stored == {user for user in users if user.startswith("good")}
    assert [r.reason for r in vault.database.quarantine.values()] == (
        [Reason.REFUSED_BY_DATABASE] * sum(bad)
    )


def test_a_refused_row_that_comes_again_is_already_quarantined(fake_vault: FakeVault) -> None:
    """A redelivered row is not a new message."""
    fake_vault.loader.refused_users = frozenset({"bad"})
    batch = events(fake_vault, "good", "bad")
    fake_vault.writer().write(batch)
    outcomes = fake_vault.writer().write(batch).outcomes
    assert outcomes == [Outcome.DUPLICATE, Outcome.ALREADY_QUARANTINED]


def test_more_than_ten_refused_rows_are_our_fault(fake_vault: FakeVault) -> None:
    """None of these rows is quarantined; the error has the SQLSTATE and no value."""
    fake_vault.loader.refused_users = frozenset(f"bad-{n}" for n in range(11))
    with pytest.raises(ConfigurationError, match=r"row after row \(SQLSTATE 23514\)"):
        fake_vault.writer().write(events(fake_vault, *(f"bad-{n}" for n in range(11))))
    assert fake_vault.database.quarantine == {}


def test_ten_refused_rows_are_quarantined(fake_vault: FakeVault) -> None:
    """Exactly ten refused rows are within the limit."""
    fake_vault.loader.refused_users = frozenset(f"bad-{n}" for n in range(10))
    fake_vault.writer().write(events(fake_vault, *(f"bad-{n}" for n in range(10))))
    assert len(fake_vault.database.quarantine) == 10


def test_refused_rows_are_counted_over_batches(fake_vault: FakeVault) -> None:
    """Six in one batch and five in the next are eleven; the five are not quarantined."""
    fake_vault.loader.refused_users = frozenset(f"bad-{n}" for n in range(11))
    writer = fake_vault.writer()
    writer.write(events(fake_vault, *(f"bad-{n}" for n in range(6))))
    with pytest.raises(ConfigurationError):
        writer.write(events(fake_vault, *(f"bad-{n}" for n in range(6, 11))))
    assert len(fake_vault.database.quarantine) == 6


def test_the_limits_of_refusal_are_ten_rows_in_a_thousand() -> None:
    """More refused rows mean a fault of ours: docs/design.md, Ingest."""
    assert (MAX_REFUSED, REFUSED_WINDOW) == (10, 1_000)


def test_refused_rows_are_forgotten_after_a_thousand_good_ones(fake_vault: FakeVault) -> None:
    """A run may have one percent of refused rows among the last thousand."""
    fake_vault.loader.refused_users = frozenset(f"bad-{n}" for n in range(12))
    writer = fake_vault.writer()
    writer.write(events(fake_vault, *(f"bad-{n}" for n in range(6))))
    writer.write(events(fake_vault, *(f"good-{n}" for n in range(REFUSED_WINDOW))))
    writer.write(events(fake_vault, *(f"bad-{n}" for n in range(6, 12))))
    assert len(fake_vault.database.quarantine) == 12


def test_a_database_that_refuses_quarantine_too_is_misconfigured(fake_vault: FakeVault) -> None:
    """No place is left for the message: the run ends, and no message is lost."""
    fake_vault.loader.refuses_rejections = True
    with pytest.raises(ConfigurationError):
        fake_vault.writer().write(fake_vault.receive(b"junk"))
    fake_vault.loader.refused_users = frozenset({"bad"})
    with pytest.raises(ConfigurationError):
        fake_vault.writer().write(events(fake_vault, "bad"))


def test_a_batch_without_token_keys_writes_nothing(fake_vault: FakeVault) -> None:
    """The hint names the command to run."""
    batch = events(fake_vault, "a")
    fake_vault.database.keys.clear()
    with pytest.raises(ConfigurationError, match="no token keys") as caught:
        fake_vault.writer().write(batch)
    assert "keys init" in (caught.value.hint or "")
    assert fake_vault.database.records == {}
