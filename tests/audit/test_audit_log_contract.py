"""The audit log: gapless, chained and append only; values come only against a committed intent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from typing import Any

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.fakes.receipts import any_receipt
from tests.kit.fakes.vault import reveal_request, rotate_request
from tests.kit.login_records import column
from tests.kit.rows import writer
from vault_etl.audit.entries import Action, mint_receipt
from vault_etl.audit.log import AuditFilter
from vault_etl.audit.opening import DisclosedValue
from vault_etl.base.errors import AuditError, DeniedError
from vault_etl.crypto.fields import FieldName
from vault_etl.records.messages import SealedRecord


def stored(bench: Bench) -> SealedRecord:
    """A record that is loaded."""
    process = writer(bench)
    row = process.record()
    process.load(row)
    return row


def test_an_intent_and_its_outcome_are_two_entries(bench: Bench) -> None:
    """The entries have all that was asked, under one request id; the log adds time, login and address."""
    request = dataclasses.replace(
        reveal_request(uuid.UUID(int=7)), purpose="abuse", ticket="OPS-1", reason="because é"
    )
    receipt = bench.audit.intend(request)
    bench.audit.conclude(receipt)
    intent, outcome = bench.reader.entries()
    assert (intent.seq, intent.hash) == (receipt.seq, receipt.hash)
    assert receipt.request is request
    assert (intent.phase, intent.decision, intent.error_code) == ("intent", "allowed", None)
    assert (outcome.phase, outcome.decision, outcome.error_code) == ("outcome", "done", None)
    for entry in (intent, outcome):
        assert entry.request_id == request.request_id
        assert (entry.actor, entry.host, entry.action) == (request.actor, request.host, "reveal")
        assert entry.record_id == uuid.UUID(int=7)
        assert entry.fields == ("device_id", "ip")
        assert (entry.purpose, entry.ticket, entry.reason) == ("abuse", "OPS-1", "because é")
        assert entry.login
        assert abs(entry.logged_at - bench.now()) < dt.timedelta(minutes=1)


def test_a_failed_outcome_has_its_code(bench: Bench) -> None:
    """The code is a word, and never a text."""
    bench.audit.conclude(bench.audit.intend(reveal_request(None)), "integrity")
    outcome = list(bench.reader.entries())[-1]
    assert (outcome.decision, outcome.error_code) == ("failed", "integrity")


def test_entries_are_numbered_without_gaps_and_chained(bench: Bench) -> None:
    """Numbers begin at 1, each entry has the hash of the entry before it, and refused entries leave no gap."""
    for _ in range(3):
        receipt = bench.audit.intend(reveal_request(None))
        bench.audit.conclude(receipt)
        with pytest.raises(AuditError):
            bench.audit.conclude(receipt)
        bench.others_audit.intend(rotate_request())
    entries = list(bench.reader.entries())
    assert [entry.seq for entry in entries] == list(range(1, 10))
    for one, other in itertools.pairwise(entries):
        assert other.prev_hash == one.hash
    assert len({entry.hash for entry in entries}) == 9
    assert all(len(entry.hash) == len(entry.prev_hash) == 32 for entry in entries)


def test_a_request_is_logged_once_a_phase(bench: Bench) -> None:
    """The second entry of a phase gets no receipt."""
    request = reveal_request(None)
    bench.audit.intend(request)
    with pytest.raises(AuditError):
        bench.audit.intend(request)
    assert len(list(bench.reader.entries())) == 1


def test_the_log_can_be_filtered(bench: Bench) -> None:
    """Filters are record, field, action, ticket, actor, time and the newest; the order is by seq."""
    for number in (1, 2, 1):
        bench.audit.intend(reveal_request(uuid.UUID(int=number), IP))
    other = reveal_request(None)
    bench.audit.intend(
        dataclasses.replace(
            other, actor="another", action=Action.FIND, ticket="T-1", fields=(DEVICE_ID,)
        )
    )

    def found(**filters: object) -> list[int]:
        wanted = AuditFilter(**filters)  # type: ignore[arg-type]
        return [entry.seq for entry in bench.reader.entries(wanted)]

    assert found() == [1, 2, 3, 4]
    assert found(record_id=uuid.UUID(int=1)) == [1, 3]
    assert found(actor="another") == [4]
    assert found(actor="nobody") == []
    assert found(since=bench.now() - dt.timedelta(hours=1)) == [1, 2, 3, 4]
    assert found(since=bench.now() + dt.timedelta(hours=1)) == []
    assert found(until=bench.now() - dt.timedelta(hours=1)) == []
    assert found(until=bench.now() + dt.timedelta(hours=1)) == [1, 2, 3, 4]
    assert found(action="find") == found(ticket="T-1") == found(field="device_id") == [4]
    assert found(action="reveal", record_id=uuid.UUID(int=1)) == [1, 3]
    newest = bench.reader.entries(AuditFilter(action="reveal"), limit=2)
    assert [entry.seq for entry in newest] == [2, 3]


def test_an_actor_may_be_a_login(bench: Bench) -> None:
    """A search for a person knows the login or the ARN."""
    bench.audit.intend(reveal_request(None))
    (entry,) = bench.reader.entries()
    assert [e.seq for e in bench.reader.entries(AuditFilter(actor=entry.login))] == [1]


def test_the_named_fields_are_disclosed_against_an_intent(bench: Bench) -> None:
    """Values come byte for byte, with their person and the token that they must have."""
    row = stored(bench)
    receipt = bench.audit.intend(reveal_request(row.record_id))
    assert bench.disclosed.disclose(receipt) == {
        field: DisclosedValue(
            row.event,
            field,
            row.ciphertexts[field],
            row.subject,
            column(row, "create_date"),
            (row.tokens[field],),
            1,
        )
        for field in PERSONAL_FIELDS
    }


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_only_the_named_field_is_disclosed(bench: Bench, field: FieldName) -> None:
    """The intent names the field, not the caller."""
    row = stored(bench)
    receipt = bench.audit.intend(reveal_request(row.record_id, field))
    disclosed = bench.disclosed.disclose(receipt)
    assert set(disclosed) == {field}
    assert disclosed[field].ciphertext == row.ciphertexts[field]


def test_values_are_disclosed_once(bench: Bench) -> None:
    """A second access is a second entry."""
    receipt = bench.audit.intend(reveal_request(stored(bench).record_id))
    bench.disclosed.disclose(receipt)
    with pytest.raises(DeniedError):
        bench.disclosed.disclose(receipt)


def test_an_erased_field_is_disclosed_as_null(bench: Bench) -> None:
    """The other field comes beside it, while an unknown record has no field at all."""
    row = stored(bench)
    bench.erase(row.record_id, IP)
    disclosed = bench.disclosed.disclose(bench.audit.intend(reveal_request(row.record_id)))
    gone = disclosed[IP]
    assert (gone.ciphertext, gone.tokens) == (None, (None,))
    assert disclosed[DEVICE_ID].tokens == (row.tokens[DEVICE_ID],)
    nothing = bench.audit.intend(reveal_request(uuid.UUID(int=4711)))
    assert bench.disclosed.disclose(nothing) == {}


def test_a_receipt_of_no_entry_discloses_nothing(bench: Bench) -> None:
    """A receipt of no entry, or of an outcome, discloses no value."""
    row = stored(bench)
    with pytest.raises(DeniedError):
        bench.disclosed.disclose(any_receipt())
    receipt = bench.audit.intend(reveal_request(row.record_id))
    receipt.seq = bench.audit.conclude(receipt).seq
    with pytest.raises(DeniedError):
        bench.disclosed.disclose(receipt)


def test_an_intent_of_another_action_discloses_nothing(bench: Bench) -> None:
    """An intent to search is no intent to reveal."""
    row = stored(bench)
    request = dataclasses.replace(reveal_request(row.record_id), action=Action.FIND)
    receipt = bench.audit.intend(request)
    with pytest.raises(DeniedError):
        bench.disclosed.disclose(receipt)


def test_an_intent_of_another_login_discloses_nothing(bench: Bench) -> None:
    """Each person uses their own intents alone."""
    receipt = bench.others_audit.intend(rotate_request())
    with pytest.raises(DeniedError):
        bench.disclosed.disclose(receipt)


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": uuid.uuid4()},
        {"action": Action.FIND},
        {"record_id": None},
        {"fields": (IP,)},
        {"purpose": "another"},
        {"ticket": "another"},
        {"actor": "another"},
        {"host": "another"},
    ],
)
def test_an_outcome_is_of_its_intent(bench: Bench, changes: dict[str, Any]) -> None:
    """The request, action, record, fields, purpose, ticket and person must be those of the intent."""
    receipt = bench.audit.intend(reveal_request(uuid.UUID(int=7)))
    request = dataclasses.replace(receipt.request, **changes)
    other = mint_receipt(request, receipt.seq, receipt.hash, receipt.login, receipt.logged_at)
    with pytest.raises(AuditError):
        bench.audit.conclude(other)
    with pytest.raises(AuditError):
        bench.others_audit.conclude(receipt)
    bench.audit.conclude(receipt)
