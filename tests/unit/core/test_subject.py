"""Which quarantined messages name a user: whole values, in any envelope, and whole words of what is no JSON."""

from __future__ import annotations

import json

import pytest

from vault_etl.core.subject import Match, match_of

NESTED = json.dumps({"Message": json.dumps({"detail": [{"user_id": "ann"}]})})


@pytest.mark.parametrize(
    ("body", "user", "match"),
    [
        ('{"user_id": "ann"}', "ann", Match.VALUE),
        ('{"user_id": " ann "}', "ann", Match.VALUE),
        ('{"userId": 4711}', "4711", Match.VALUE),
        ('{"users": {"ann": 1}}', "ann", Match.VALUE),
        ('["joanna", "annabel", "ann-2"]', "ann", None),
        ('{"user_id": true}', "True", None),
        (NESTED, "ann", Match.VALUE),
        ('{"Message": "{user_id: ann, …"}', "ann", Match.VALUE),
        ('{"Message": "{user_id: joann, …"}', "ann", None),
        ('{"note": "ask ann"}', "ann", None),
        ('{"user_id": "ann", ', "ann", Match.TEXT),
        ('{"user_id": "joann", ', "ann", None),
        ("user=ann;ip=1", "ann", Match.TEXT),
        ("user=ann@example.test", "ann", None),
        ('{"user_id": "\\u00e9va", ', "éva", Match.TEXT),
        ("a.c", "abc", None),
        ("[" * 100_000, "ann", None),
        ("", "ann", None),
    ],
)
def test_who_is_named(body: str, user: str, match: Match | None) -> None:
    """Another user's message is not this user's because its id has these letters in it."""
    assert match_of(body.encode(), user) is match


def test_a_body_need_not_be_text() -> None:
    """Bytes that are no UTF-8 end a word."""
    assert match_of(b"\xff\xfeann\xff", "ann") is Match.TEXT
    assert match_of(b"\xff\xfe", "ann") is None
