"""Retry: what passes today becomes a record, exactly once, and everything else stays what it was."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest

from tests.kit.declared import PERSONAL_FIELDS, USER_LOGINS
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.quarantined import quarantine
from tests.kit.fakes.tap import Recorder
from tests.kit.fakes.vault import FakeVault
from tests.kit.login_records import column
from tests.quarantine.retry_world import (
    BAD,
    EVERY_ADDRESS,
    GOOD,
    addresses,
    numbers,
    request,
    retry,
    run,
    seven_messages,
)
from vault_etl.audit.entries import Phase
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    KeyUnavailableError,
)
from vault_etl.crypto.ciphertext import Ciphertext
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.crypto.keys import KeyState

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Return a vault with five messages that pass and two that fail, in batches of three."""
    return seven_messages(monkeypatch)


def state(vault: FakeVault) -> tuple[object, ...]:
    """All rows and keys."""
    database = vault.database
    return dict(database.records), dict(database.quarantine), dict(database.keys)


def test_what_passes_becomes_a_record_and_the_rest_stays(vault: FakeVault) -> None:
    """Under its own record id, with values that open and tokens that are theirs."""
    before = dict(vault.database.quarantine)
    report = run(vault)
    assert numbers(report) == (7, 5, 2)
    assert (report.not_opened, report.not_found) == ((), ())
    left = vault.database.quarantine
    assert left == {record_id: row for record_id, row in before.items() if record_id in left}
    assert set(vault.database.records) == set(before) - set(left)
    assert addresses(vault) == EVERY_ADDRESS


def test_a_second_retry_finds_only_failed_messages(vault: FakeVault) -> None:
    """The second retry changes nothing."""
    run(vault)
    before = state(vault)
    assert numbers(run(vault)) == (2, 0, 2)
    assert state(vault) == before


def test_only_the_named_ones_are_tried(vault: FakeVault) -> None:
    """An id that has no row, or an erased body, is named in the report."""
    first, second, third, *_ = vault.database.quarantine
    vault.database.erased_bodies.add(third)
    unknown = uuid.UUID(int=4711)
    report = run(vault, first, second, third, unknown)
    assert numbers(report) == (2, 2, 0)
    assert set(report.not_found) == {third, unknown}
    assert set(vault.database.records) == {first, second}


def test_an_erased_body_is_not_tried(vault: FakeVault) -> None:
    """There is nothing to read."""
    erased = next(iter(vault.database.quarantine))
    vault.database.erased_bodies.add(erased)
    assert run(vault).retried == 6
    assert erased in vault.database.quarantine


def test_a_count_writes_nothing_but_the_log(vault: FakeVault) -> None:
    """No key is made, no partition either; and a retry then does what it said."""
    before = state(vault)
    recorder = Recorder()
    report = retry(vault, recorder.tap).count(request())
    assert numbers(report) == (7, 5, 2)
    assert state(vault) == before
    assert set(recorder.calls) == {
        "intend",
        "in_use",
        "trusts",
        "bodies",
        "keys",
        "unwrap",
        "conclude",
    }
    assert [entry.phase for entry in vault.database.audit] == ["intent", "outcome"]
    assert numbers(run(vault)) == numbers(report)


def test_an_empty_retry_makes_no_key() -> None:
    """The log has an entry nevertheless, since the caller asked to open bodies."""
    vault = FakeVault()
    keys = dict(vault.database.keys)
    assert numbers(run(vault)) == (0, 0, 0)
    assert vault.database.keys == keys
    assert [entry.action for entry in vault.database.audit] == ["quarantine retry"] * 2


def test_what_fails_today_makes_no_key() -> None:
    """A key of personal fields is made when something is sealed, and not before."""
    vault = FakeVault()
    quarantine(vault, *BAD)
    keys = dict(vault.database.keys)
    assert numbers(run(vault)) == (2, 0, 2)
    assert vault.database.keys == keys


def test_values_are_sealed_under_keys_of_this_process(vault: FakeVault) -> None:
    """Values are bound to the record: no quarantined ciphertext is kept."""
    old = set(vault.database.keys)
    run(vault)
    used = {
        Ciphertext.parse(stored).key_id
        for record in vault.database.records.values()
        for stored in record.ciphertexts.values()
    }
    assert len(used) == 2
    assert not used & old


def test_next_tokens_are_made_while_a_generation_is_pending(vault: FakeVault) -> None:
    """A backfill that is past these ids would never come back for them."""
    vault.add_token_keys(2, KeyState.PENDING)
    run(vault)
    for record in vault.database.records.values():
        assert record.next_token_generation == 2
        assert set(record.next_tokens or ()) == set(PERSONAL_FIELDS)


def test_the_day_is_the_event_s_own_or_that_of_its_sending() -> None:
    """The day of the retry does not matter."""
    vault = FakeVault()
    sent = vault.clock.now() - dt.timedelta(days=20)
    sent_ms = round(sent.timestamp() * 1000)
    dated = login_event(create_date="2020-02-29")
    ids = quarantine(vault, dated, login_event(), sent_ms=sent_ms)
    run(vault)
    days = [column(vault.database.records[record_id], "create_date") for record_id in ids]
    assert days == [dt.date(2020, 2, 29), sent.date()]


@pytest.mark.parametrize(
    ("days", "moves"), [(-700, True), (-100, True), (60, True), (-800, False), (150, False)]
)
def test_a_month_without_a_partition_gets_one_if_it_may(days: int, moves: bool) -> None:
    """Two years back to three months ahead; what was sent in another one stays. A count says the same."""
    vault = FakeVault()
    sent_ms = round(vault.clock.now().timestamp() * 1000) + days * DAY_MS
    (record_id,) = quarantine(vault, login_event(), sent_ms=sent_ms)
    assert retry(vault).count(request()).moved == moves
    assert numbers(run(vault)) == (1, moves, not moves)
    assert (record_id in vault.database.records) is moves
    assert (record_id in vault.database.quarantine) is not moves


@pytest.mark.parametrize(("sent_ms", "moves"), [(0, True), (1, False), (2**48 - 1, False)])
def test_a_time_that_is_no_time_stops_nothing(sent_ms: int, moves: bool) -> None:
    """The time 0 has a partition of its own; the last milliseconds of an id are in no calendar."""
    vault = FakeVault()
    quarantine(vault, login_event(), sent_ms=sent_ms)
    assert retry(vault).count(request()).moved == moves
    assert run(vault).moved == moves


class Detached:
    """Makes partitions for a database with one detached month: asking for this month changes nothing."""

    def __init__(self, vault: FakeVault) -> None:
        self._loader = vault.loader
        self.asked: list[tuple[dt.date, ...]] = []

    def prepare_partitions(self, months: Any = ()) -> Any:  # noqa: ANN401 - as the port
        """See `RecordLoader.prepare_partitions`."""
        self.asked.append(tuple(months))
        return self._loader.prepare_partitions()


def test_a_month_that_is_detached_is_asked_for_once(vault: FakeVault) -> None:
    """Messages of the month stay, batch after batch, while the others move."""
    sent = vault.clock.now() - dt.timedelta(days=100)
    old = quarantine(vault, *GOOD, sent_ms=round(sent.timestamp() * 1000))
    made = retry(vault)
    made._partitions = detached = Detached(vault)
    assert numbers(made.move(request())) == (12, 5, 7)
    assert set(old) <= set(vault.database.quarantine)
    assert detached.asked == [(), ((USER_LOGINS, sent.date().replace(day=1)),)]


def test_a_body_that_does_not_open_is_left_and_named(vault: FakeVault) -> None:
    """Byte for byte as it was, while everything else is done."""
    damaged = next(iter(vault.database.quarantine))
    row = vault.database.quarantine[damaged]
    broken = row.body_ciphertext[:-1] + bytes([row.body_ciphertext[-1] ^ 1])
    vault.database.quarantine[damaged] = bad = dataclasses.replace(row, body_ciphertext=broken)
    report = run(vault)
    assert numbers(report) == (7, 4, 3)
    assert report.not_opened == (damaged,)
    assert vault.database.quarantine[damaged] == bad
    assert vault.database.audit[-1].decision == "done"


def test_a_body_of_another_row_does_not_move(vault: FakeVault) -> None:
    """Otherwise a login would be stored for a time at which it did not happen."""
    mine, other, *_ = vault.database.quarantine
    row = vault.database.quarantine[mine]
    stolen = vault.database.quarantine[other].body_ciphertext
    vault.database.quarantine[mine] = dataclasses.replace(row, body_ciphertext=stolen)
    assert run(vault).not_opened == (mine,)
    assert mine not in vault.database.records


def test_a_key_that_kms_refuses_ends_the_run(vault: FakeVault) -> None:
    """KMS refuses a new key too: so the caller is refused, and KMS is not called for each body."""
    vault.kms.denied = {QUARANTINE}
    vault.kms.unwrapped.clear()
    with pytest.raises(KeyUnavailableError):
        run(vault)
    assert len(vault.kms.unwrapped) == 2
    assert vault.database.audit[-1].error_code == "key_unavailable"
    assert len(vault.database.quarantine) == 7


def test_without_token_keys_nothing_moves(vault: FakeVault) -> None:
    """`keys init` comes first."""
    for key in [key for key in vault.database.keys.values() if key.generation]:
        del vault.database.keys[key.key_id]
    with pytest.raises(ConfigurationError, match="no token keys"):
        run(vault)
    assert len(vault.database.quarantine) == 7


def test_without_an_intent_nothing_is_read(vault: FakeVault) -> None:
    """Neither by a retry nor by its count."""
    vault.audit.broken = {Phase.INTENT}
    recorder = Recorder()
    tried = retry(vault, recorder.tap)
    for way in (tried.move, tried.count):
        with pytest.raises(AuditError):
            way(request())
    assert recorder.calls == ["intend", "intend"]


def test_a_retry_is_one_entry_with_its_outcome(vault: FakeVault) -> None:
    """However many messages it opens."""
    run(vault)
    intent, outcome = vault.database.audit
    assert (intent.action, intent.fields) == ("quarantine retry", ("quarantine",))
    assert (outcome.phase, outcome.decision) == ("outcome", "done")


def test_progress_counts_every_message(vault: FakeVault) -> None:
    """Three at a time."""
    run(vault)
    assert [done for done, _ in vault.progress.steps] == [3, 3, 1]
