"""Duplicate finders count tokens that records share."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.rows import Writer, writer
from vault_etl.reveal.duplicates import SharedToken, SharedTokenQuery

DAYS = [dt.date(2026, 1, day) for day in (29, 30, 31)]
OFTEN, TWICE, ONCE = (uuid.UUID(int=n) for n in (7, 8, 9))


@pytest.fixture
def shared_tokens(bench: Bench) -> Bench:
    """`OFTEN` on three days, of two users; `TWICE` on the last day, of one user; `ONCE` once."""
    process = writer(bench)
    process.load(
        *(event(process, OFTEN, user, day) for user, day in zip("aab", DAYS, strict=True)),
        *(event(process, TWICE, "a", DAYS[2]) for _ in range(2)),
        event(process, ONCE, "a", DAYS[2]),
    )
    return bench


def event(process: Writer, token: uuid.UUID, user_id: str, day: dt.date) -> Any:  # noqa: ANN401
    """A row of this user and day, with this token of `ip`."""
    record = process.record(user_id=user_id, create_date=day)
    record.tokens[IP] = token
    return record


def shared(bench: Bench, **query: Any) -> list[SharedToken]:  # noqa: ANN401 - as the query has them
    """Return the shared tokens of `ip`."""
    return list(bench.duplicates.shared_tokens(SharedTokenQuery(field=IP, **{"limit": 9, **query})))


def test_the_most_shared_tokens_come_first(shared_tokens: Bench) -> None:
    """Each shared token comes with its count, its users, and its first and last day."""
    assert shared(shared_tokens) == [
        SharedToken(OFTEN, 3, 2, DAYS[0], DAYS[2]),
        SharedToken(TWICE, 2, 1, DAYS[2], DAYS[2]),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"min_count": 3}, {OFTEN: 3}),
        ({"min_count": 4}, {}),
        ({"min_users": 2}, {OFTEN: 3}),
        ({"min_users": 3}, {}),
        ({"limit": 1}, {OFTEN: 3}),
        ({"since": DAYS[1]}, {OFTEN: 2, TWICE: 2}),
        ({"since": DAYS[2]}, {TWICE: 2}),
        ({"until": DAYS[1]}, {OFTEN: 2}),
        ({"since": DAYS[0], "until": DAYS[0]}, {}),
        ({"since": DAYS[1], "min_users": 2}, {OFTEN: 2}),
        ({"until": DAYS[1], "min_users": 2}, {}),
    ],
)
def test_a_query_leaves_out_what_it_says(
    shared_tokens: Bench, query: dict[str, object], expected: dict[uuid.UUID, int]
) -> None:
    """Counts and users are those of the days asked for, both bounds included."""
    assert {s.token: s.count for s in shared(shared_tokens, **query)} == expected


def test_tokens_that_are_left_out_are_not_counted(shared_tokens: Bench) -> None:
    """Tokens left out take no place in the list."""
    assert [s.token for s in shared(shared_tokens, leave_out=(OFTEN,), limit=1)] == [TWICE]


def test_tokens_of_the_other_field_are_not_mixed_in(shared_tokens: Bench) -> None:
    """`device_id` shares nothing here."""
    query = SharedTokenQuery(field=DEVICE_ID, limit=9)
    assert list(shared_tokens.duplicates.shared_tokens(query)) == []


def test_erased_tokens_are_not_a_group(shared_tokens: Bench) -> None:
    """Records without a token are not a group, and are not counted."""
    for record_id in shared_tokens.records():
        shared_tokens.erase(record_id, IP)
    assert shared(shared_tokens) == []


def test_a_pending_generation_changes_no_count(bench: Bench) -> None:
    """Records that have their next tokens already share with those that have not, and count once."""
    process = writer(bench)
    both = {IP: TWICE, DEVICE_ID: uuid.uuid4()}
    later = [
        process.record(tokens=dict(both), next_tokens=dict(both), next_token_generation=2)
        for _ in range(2)
    ]
    process.load(process.record(tokens={**both, DEVICE_ID: uuid.uuid4()}), *later)
    assert [(s.token, s.count) for s in shared(bench)] == [(TWICE, 3)]
