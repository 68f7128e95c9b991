"""A batch that an outage interrupts: committed rows are reported as stored, and the rest is tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.tap import Breaker, Tap
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import ConfigurationError, DeniedError, UnavailableError, VaultEtlError
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.write_batch import MAX_REFUSED

USERS = ("bad-0", *(f"good-{n}" for n in range(6)), "bad-1")
AWAY = UnavailableError("not there")


def batch_with_two_bad_rows(vault: FakeVault) -> list[Message]:
    """The database refuses the first and the last row; the rows between are stored one by one."""
    vault.loader.refused_users = frozenset({"bad-0", "bad-1"})
    return vault.receive(*(login_event(user_id=user) for user in USERS), b"junk")


def is_committed(vault: FakeVault, message: Message) -> bool:
    """Return True if the message is a row of either table."""
    record_id = record_id_of_message(message.message_id, message.sent_ms)
    return record_id in vault.database.records or record_id in vault.database.quarantine


def calls_of_a_good_run() -> int:
    """The number of calls of all ports that such a batch makes."""
    vault, breaker = FakeVault(), Breaker(10**9, AWAY)
    vault.tapped(breaker.tap).writer().write(batch_with_two_bad_rows(vault))
    return breaker.calls


CALLS = calls_of_a_good_run()


def test_there_are_calls_to_break() -> None:
    """The sweep below covers a real number of calls."""
    assert CALLS > 15


@pytest.mark.parametrize("error", [AWAY, DeniedError("no")], ids=["away", "denied"])
@pytest.mark.parametrize("at", range(CALLS))
def test_rows_committed_before_an_outage_are_reported_and_the_rest_is_tried_again(
    at: int, error: VaultEtlError
) -> None:
    """No stored row is reported as a duplicate later, and no row is reported that is not stored."""
    vault = FakeVault()
    batch = batch_with_two_bad_rows(vault)
    writer = vault.tapped(Breaker(at, error).tap).writer()
    first = writer.write(batch)
    assert first.cause is error
    for message, outcome in zip(batch, first.outcomes, strict=True):
        assert (outcome is not Outcome.RETRY) == is_committed(vault, message)
    again = [m for m, o in zip(batch, first.outcomes, strict=True) if o is Outcome.RETRY]
    second = writer.write(again)
    assert second.cause is None
    total = Counter(first.outcomes) + Counter(second.outcomes)
    del total[Outcome.RETRY]
    assert total == {Outcome.STORED: 6, Outcome.QUARANTINED: 3}
    assert sum(first.reasons.values()) + sum(second.reasons.values()) == 3


def test_a_commit_whose_answer_is_lost_is_found_again_as_duplicates(fake_vault: FakeVault) -> None:
    """The outcome of such a commit is unknown, so its rows are not reported as stored."""
    answers_lost = iter([True])

    def losing(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "load" and next(answers_lost, False):
            raise AWAY
        return answer

    batch = fake_vault.receive(login_event(), b"junk")
    writer = fake_vault.tapped(lambda part: Tap(part, losing)).writer()
    assert writer.write(batch).outcomes == [Outcome.RETRY] * 2
    assert len(fake_vault.database.records) == len(fake_vault.database.quarantine) == 1
    assert writer.write(batch).outcomes == [Outcome.DUPLICATE, Outcome.ALREADY_QUARANTINED]


def test_a_refused_row_that_waits_for_an_outage_to_end_is_counted_once(
    fake_vault: FakeVault,
) -> None:
    """Repeated refusals of one row count once: one bad row is not a fault of ours."""
    writer = fake_vault.writer()
    writer.write(fake_vault.receive(login_event()))
    batch = batch_with_two_bad_rows(fake_vault)[:1]
    fake_vault.kms.down = True  # a quarantined body needs a key of KMS
    for _ in range(2 * MAX_REFUSED):
        assert writer.write(batch).outcomes == [Outcome.RETRY]
    fake_vault.kms.down = False
    assert writer.write(batch).outcomes == [Outcome.QUARANTINED]


def test_rows_refused_in_one_batch_and_in_those_before_it_add_up(fake_vault: FakeVault) -> None:
    """The eleventh refused row exceeds the limit at any position, and is not quarantined."""
    fake_vault.loader.refused_users = frozenset({"bad"})
    writer = fake_vault.writer()
    for _ in range(MAX_REFUSED):
        writer.write(fake_vault.receive(login_event(user_id="bad")))
    with pytest.raises(ConfigurationError):
        writer.write(fake_vault.receive(login_event(user_id="bad")))
    assert len(fake_vault.database.quarantine) == MAX_REFUSED


def test_an_error_that_no_retry_mends_is_raised(fake_vault: FakeVault) -> None:
    """A database without its tables needs an operator."""

    def broken(name: str, call: Callable[[], Any]) -> object:
        if name == "load":
            raise ConfigurationError("no such table")
        return call()

    writer = fake_vault.tapped(lambda part: Tap(part, broken)).writer()
    with pytest.raises(ConfigurationError):
        writer.write(fake_vault.receive(login_event()))
