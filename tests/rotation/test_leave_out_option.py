"""The syntax of `--leave-out`."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest

from tests.kit.declared import IP
from vault_etl.base.errors import UsageError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.rotation.leave_out import LeaveOut

ID = uuid.UUID("019c13ec-9e00-786c-a01c-c61c88d8d4b5")
EIGHT = dt.datetime(2026, 11, 29, 8, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (str(ID), LeaveOut(record_id=ID)),
        (str(ID).upper(), LeaveOut(record_id=ID)),
        (ID.hex, LeaveOut(record_id=ID)),
        ("key=4711", LeaveOut(key_id=4711)),
        ("login=worker3", LeaveOut(login="worker3")),
        ("since=2026-11-29T08:00:00Z", LeaveOut(since=EIGHT)),
        ("until=2026-11-29T09:00:00+01:00", LeaveOut(until=EIGHT)),
        (
            "until=2026-11-29T08:00:00Z,login=worker3,since=2026-11-29T08:00:00Z,key=1",
            LeaveOut(key_id=1, login="worker3", since=EIGHT, until=EIGHT),
        ),
        ("login=a,b,key=2", LeaveOut(login="a,b", key_id=2)),
        ("login=a=b", LeaveOut(login="a=b")),
    ],
)
def test_a_record_or_criteria_are_read(text: str, means: LeaveOut) -> None:
    """Criteria may have any order; the written form reads as the same value."""
    assert LeaveOut.parse(text) == means
    assert LeaveOut.parse(str(means)) == means


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worker3",
        "login",
        "login=",
        "=worker3",
        "logins=worker3",
        "login=a,login=b",
        "key=0",
        "key=4294967296",
        "key=-1",
        "key=1e3",
        "key=٣",
        "key=1,",
        "since=2026-11-29",
        "since=2026-11-29T08:00:00",
        "since=yesterday",
        "since=0001-01-01T00:00:00+14:00",
        str(ID)[:-1],
        f"{ID},key=1",
        "-" * 36,
        "all",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """No value is guessed: above all, no criterion is dropped."""
    with pytest.raises(UsageError) as refused:
        LeaveOut.parse(text)
    assert "login=NAME" in (refused.value.hint or "")


def test_the_written_form_is_plain() -> None:
    """The form of an entry of the log: criteria in one order, times in UTC."""
    what = LeaveOut(login="worker3", since=EIGHT, key_id=7)
    assert str(what) == "key=7,login=worker3,since=2026-11-29T08:00:00Z"


NOON = dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
RECORD = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (LeaveOut(record_id=RECORD), True),
        (LeaveOut(record_id=uuid.UUID(int=8)), False),
        (LeaveOut(key_id=5), True),
        (LeaveOut(key_id=6), False),
        (LeaveOut(login="worker3"), True),
        (LeaveOut(login="worker"), False),
        (LeaveOut(key_id=5, login="other"), False),
        (LeaveOut(since=NOON + HOUR), True),
        (LeaveOut(since=NOON + 2 * HOUR), False),
        (LeaveOut(until=NOON), True),
        (LeaveOut(until=NOON - HOUR), False),
    ],
    ids=str,
)
def test_a_row_is_named_by_its_id_or_by_a_key_that_meets_all_criteria(
    what: LeaveOut, named: bool
) -> None:
    """The lease of the key is from noon on, for an hour; both its ends belong to it."""
    key = StoredKey(
        key_id=5,
        purpose=KeyPurpose.DATA,
        field=IP,
        generation=None,
        kms_key_arn="arn",
        wrapped_key=b"x",
        fingerprint=b"8 bytes!",
        state=KeyState.ACTIVE,
        created_at=NOON,
        created_by="worker3",
        expires_at=NOON + HOUR,
    )
    assert what.names(RECORD, [key]) is named
    assert not LeaveOut(key_id=5).names(RECORD, [])
