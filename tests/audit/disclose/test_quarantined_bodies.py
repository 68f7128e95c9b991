"""`audit_disclose` of a quarantined body, for an attacker with the reveal role's login."""

from __future__ import annotations

import uuid

import pytest

from tests.audit.disclose.taking import Denied, take
from tests.kit.entries import (
    RELEASE,
    append_committed,
    append_open,
    stored_rejection,
)
from tests.kit.scratch import Scratch, ciphertext
from vault_etl.records.messages import SealedRecord, SealedRejection


def show(shared: Scratch, record_id: uuid.UUID, **changes: object) -> int:
    """Append an intent to show a quarantined message, with these changes; return its seq."""
    intent = {"action": "quarantine show", "fields": ["quarantine"], "record_id": record_id}
    return append_committed(shared, **{**intent, **changes})


def test_an_intent_to_show_discloses_the_body_once(
    shared: Scratch, rejection: SealedRejection
) -> None:
    """The body is that of the quarantined message that the intent names."""
    seq = show(shared, rejection.record_id)
    assert take(shared, seq) == {"quarantine": rejection.body_ciphertext}
    with pytest.raises(Denied, match="was used before"):
        take(shared, seq)


@pytest.mark.parametrize("fields", [[], ["ip"], ["device_id", "ip"]])
def test_an_intent_to_show_that_does_not_name_quarantine_discloses_nothing(
    shared: Scratch, rejection: SealedRejection, fields: list[str]
) -> None:
    """Otherwise the log would not show what was disclosed."""
    assert take(shared, show(shared, rejection.record_id, fields=fields)) == {}


def test_the_two_actions_do_not_stand_in_for_each_other(
    shared: Scratch, record: SealedRecord, rejection: SealedRejection
) -> None:
    """A reveal discloses no body, and a show no field of a record, even where one id has both rows."""
    every = ["device_id", "ip", "quarantine"]
    body = ciphertext(1)
    shared.sql(
        "INSERT INTO quarantine (record_id, reason_code, path, body_ciphertext)"
        " VALUES (%s, 'not_json', '$', %s)",
        record.record_id,
        body,
    )
    seq = append_committed(shared, record_id=record.record_id, fields=every)
    assert set(take(shared, seq)) == {"device_id", "ip"}
    assert take(shared, show(shared, record.record_id, fields=every)) == {"quarantine": body}
    seq = append_committed(shared, record_id=rejection.record_id, fields=every)
    assert take(shared, seq) == {}
    shared.sql("DELETE FROM quarantine WHERE record_id = %s", record.record_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "denied"},
        {"action": "quarantine retry"},
    ],
)
def test_only_an_allowed_intent_to_show_discloses_a_body(
    shared: Scratch, rejection: SealedRejection, changes: dict[str, object]
) -> None:
    """A denied intent, and an intent of another action with quarantine, are refused."""
    seq = show(shared, rejection.record_id, **changes)
    with pytest.raises(Denied):
        take(shared, seq)


def test_an_intent_to_show_of_the_same_transaction_discloses_nothing(
    shared: Scratch, rejection: SealedRejection
) -> None:
    """The transaction could be rolled back afterwards, as with a reveal."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(
            cursor,
            action="quarantine show",
            record_id=rejection.record_id,
            fields=["quarantine"],
        )
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_an_erased_body_is_disclosed_as_null(shared: Scratch) -> None:
    """An erased body has no ciphertext, and the disclosure says so."""
    record_id = stored_rejection(shared).record_id
    shared.sql("UPDATE quarantine SET body_ciphertext = NULL WHERE record_id = %s", record_id)
    assert shared.sql(RELEASE, show(shared, record_id), role="reveal") == [("quarantine", None)]
