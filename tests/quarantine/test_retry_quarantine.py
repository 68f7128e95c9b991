"""Retry: what passes today becomes a record, exactly once, and everything else stays what it was."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.quarantine import FakeQuarantine
from tests.kit.fakes.quarantined import quarantine
from tests.kit.fakes.tap import Breaker, Recorder, Tap
from tests.kit.fakes.vault import FakeVault, reveal_request, rotate_request
from vault_etl.audit.entries import Action, AuditRequest, Phase
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    IncompleteError,
    KeyUnavailableError,
    UnavailableError,
)
from vault_etl.crypto.ciphertext import Ciphertext
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field
from vault_etl.crypto.keys import KeyState
from vault_etl.quarantine import retry as retry_quarantine
from vault_etl.quarantine.read import RetryFilter
from vault_etl.quarantine.retry import QuarantineRetry, RetryReport
from vault_etl.records.fenced_writes import MAX_FENCE_TRIES

GOOD = [login_event(user_id=f"user-{n}", ip=f"198.51.100.{n}") for n in range(5)]
BAD = [b"junk", login_event(ip="no-address")]

CALLS = 27
"""Of all ports, in the retry of the fixture below."""

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Five messages that are good today and two that are not, to be tried three at a time."""
    monkeypatch.setattr(retry_quarantine, "BATCH_ROWS", 3)
    filled = FakeVault()
    quarantine(filled, *GOOD, *BAD)
    return filled


def retry(vault: FakeVault, tap: Callable[[Any], Any] = lambda part: part) -> QuarantineRetry:
    """Return a retry, in a new process, whose parts are seen through the tap."""
    seen = vault.tapped(tap)
    ring = seen.ring()
    return QuarantineRetry(
        audit=seen.audit,
        mover=tap(FakeQuarantine(vault.database, vault.loader)),
        partitions=seen.loader,
        ring=ring,
        old=seen.old_keys(ring),
        leases=seen.leases(),
        clock=vault.clock,
        progress=vault.progress,
        months=vault.database,
    )


def request() -> AuditRequest:
    """A request to retry."""
    return dataclasses.replace(rotate_request(Field.QUARANTINE), action=Action.QUARANTINE_RETRY)


def run(vault: FakeVault, *only: uuid.UUID) -> RetryReport:
    """Retry these ids, or all."""
    return retry(vault).move(request(), RetryFilter(only or None))


def numbers(report: RetryReport) -> tuple[int, int, int]:
    """Tried, moved, still quarantined."""
    return report.retried, report.moved, report.still_quarantined


def addresses(vault: FakeVault) -> list[bytes]:
    """The address of every record, revealed, which compares its token too."""
    revealed = [
        vault.reveal()(reveal_request(record_id)).fields[Field.IP]
        for record_id in vault.database.records
    ]
    return sorted(value.expose() for value in revealed if value)


EVERY_ADDRESS = [f"198.51.100.{n}".encode() for n in range(5)]


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
    days = [vault.database.records[record_id].create_date for record_id in ids]
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
    assert detached.asked == [(), (sent.date().replace(day=1),)]


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
    vault.kms.denied = {Field.QUARANTINE}
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


def test_rows_that_the_database_refuses_stay(vault: FakeVault) -> None:
    """Found by halving, however many there are; every other row of their batches moves."""
    vault.loader.refused_users = frozenset({"user-1", "user-3"})
    report = run(vault)
    assert numbers(report) == (7, 3, 4)
    users = {record.user_id for record in vault.database.records.values()}
    assert users == {"user-0", "user-2", "user-4"}


def test_an_erasure_during_a_retry_wins(vault: FakeVault) -> None:
    """No part of the body is stored, and it does not count as moved."""
    erased = min(vault.database.quarantine)

    def erasing(name: str, call: Callable[[], Any]) -> object:
        if name == "move":
            vault.database.erased_bodies.add(erased)
        return call()

    report = retry(vault, lambda part: Tap(part, erasing)).move(request())
    assert report.retried == 7
    assert erased not in vault.database.records
    assert erased in vault.database.quarantine
    assert report.moved == len(vault.database.records)


def test_retired_keys_seal_no_record(vault: FakeVault) -> None:
    """The fence refuses the batch, and the batch is sealed again under other keys."""
    retired: list[int] = []

    def retiring(name: str, call: Callable[[], Any]) -> object:
        if name == "move" and not retired:
            retired.extend(vault.keys.retire_data_keys(rotate_request(), PERSONAL_FIELDS))
        return call()

    report = retry(vault, lambda part: Tap(part, retiring)).move(request())
    assert len(retired) == 2
    assert numbers(report) == (7, 5, 2)
    sealed = [c for field, _, _, c in vault.database.ciphertexts() if field in PERSONAL_FIELDS]
    assert not {Ciphertext.parse(stored).key_id for stored in sealed} & set(retired)
    assert addresses(vault) == EVERY_ADDRESS


def test_a_generation_that_becomes_pending_meanwhile_is_written_too(vault: FakeVault) -> None:
    """Its tokens are made after the fence refuses the batch."""

    def pending(name: str, call: Callable[[], Any]) -> object:
        if name == "move" and not any(k.generation == 2 for k in vault.database.keys.values()):
            vault.add_token_keys(2, KeyState.PENDING)
        return call()

    assert retry(vault, lambda part: Tap(part, pending)).move(request()).moved == 5
    assert {r.next_token_generation for r in vault.database.records.values()} == {2}


def test_keys_that_change_under_every_try_end_the_run(vault: FakeVault) -> None:
    """Safe to run again, when the rotation is over."""
    tries = []

    def retiring(name: str, call: Callable[[], Any]) -> object:
        if name == "move":
            tries.append(vault.keys.retire_data_keys(rotate_request(), PERSONAL_FIELDS))
        return call()

    with pytest.raises(IncompleteError):
        retry(vault, lambda part: Tap(part, retiring)).move(request())
    assert len(tries) == MAX_FENCE_TRIES
    assert numbers(run(vault)) == (7, 5, 2)


def test_the_sweep_breaks_every_call(vault: FakeVault) -> None:
    """The sweep of the next test is complete."""
    breaker = Breaker(10**9, UnavailableError("away"))
    retry(vault, breaker.tap).move(request())
    assert breaker.calls == CALLS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
def test_a_retry_that_was_interrupted_goes_on(vault: FakeVault, at: int, after: bool) -> None:
    """Wherever it stopped: every message is a record or in quarantine, never both and never neither."""
    ids = set(vault.database.quarantine)
    breaker = Breaker(at, UnavailableError("away"), after=after)
    with pytest.raises((UnavailableError, AuditError)):
        retry(vault, breaker.tap).move(request())
    records, left = set(vault.database.records), set(vault.database.quarantine)
    assert (records | left, records & left) == (ids, set())
    assert run(vault).still_quarantined == 2
    assert addresses(vault) == EVERY_ADDRESS


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


def test_a_message_that_is_quarantined_meanwhile_is_not_lost(vault: FakeVault) -> None:
    """A new message is retried or left for the next run, and no message is lost."""
    late: list[uuid.UUID] = []

    def arriving(name: str, call: Callable[[], Any]) -> object:
        if name == "move" and not late:
            late.extend(quarantine(vault, login_event(ip="198.51.100.99")))
        return call()

    retry(vault, lambda part: Tap(part, arriving)).move(request())
    run(vault)
    assert addresses(vault) == sorted([*EVERY_ADDRESS, b"198.51.100.99"])
