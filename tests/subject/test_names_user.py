"""Which quarantined messages name a user: whole values, in any envelope, and whole words of what is no JSON."""

from __future__ import annotations

import base64
import json

import pytest

from vault_etl.subject.names_user import Match, match_of

NESTED = json.dumps({"Message": json.dumps({"detail": [{"user_id": "ann"}]})})

IN_BASE64 = base64.b64encode(b'{"user_id": "ann"}').decode()
NESTED_BASE64 = base64.b64encode(NESTED.encode()).decode()


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
        ('{"user_id": "ann", "user_id": "bob"}', "ann", Match.VALUE),
        ('{"user_id": "ann", "user_id": "bob"}', "bob", Match.VALUE),
        ('{"user_id": 4711.0}', "4711", Match.VALUE),
        ('{"user_id": 4711.0}', "4711.0", Match.VALUE),
        ('{"user_id": 4711.5}', "4711", None),
        ('{"user_id": "\\u0034711", ', "4711", Match.TEXT),
        (IN_BASE64, "ann", Match.VALUE),
        (IN_BASE64, "bob", None),
        (json.dumps({"Records": [{"kinesis": {"data": IN_BASE64}}]}), "ann", Match.VALUE),
        (json.dumps({"data_base64": IN_BASE64}), "ann", Match.VALUE),
        (json.dumps({"Message": NESTED_BASE64}), "ann", Match.VALUE),
        (base64.b64encode(b'{"user_id": "ann", ').decode(), "ann", Match.TEXT),
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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("body", "match"), [('{"user_id": "ann"}', Match.VALUE), ("ann;", Match.TEXT)]
)
def test_utf_16_is_text_too(encoding: str, body: str, match: Match) -> None:
    """With a byte order mark or without."""
    assert match_of(body.encode(encoding), "ann") is match
    assert match_of(body.encode(encoding), "joann") is None
