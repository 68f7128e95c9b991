"""Numbers where text is expected: the numbers that are accepted, and their text."""

from __future__ import annotations

import json

import pytest

from tests.kit.declared import DEVICE_ID
from tests.kit.fakes.login_events import DEFAULTS
from tests.kit.login_kinds import KINDS
from tests.kit.parsed import parse_event
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyMaterial, TokenKey
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

TEXT = ("user_id", "device_type", "device_id", "locale", "app_version")
TOKENIZER = Tokenizer((TokenKey(1, f, 1, KeyMaterial(bytes(32))) for f in KINDS), KINDS)
WHOLE = ("0", "230", "-1", "-0", "4711", "90071992547409931234567890")
FRACTIONS = ("2.3", "1.10", "0.0", "-2.30")
EXPONENTS = ("1e3", "1E3", "1.5e-7", "-2e+5", "1.2345678901234567e+19")


def parsed(name: str, literal: str) -> ParsedEvent | Rejection:
    """An event whose field holds this spelling of JSON."""
    body = json.dumps({**DEFAULTS, name: "?"}).replace('"?"', literal)
    return parse_event(body.encode())


def held(event: ParsedEvent | Rejection, name: str) -> str:
    """The value of the field."""
    assert isinstance(event, ParsedEvent), event
    if (personal := event.personal.get(FieldName(name))) is not None:
        return personal.expose().decode()
    return str(event.plain[name])


@pytest.mark.parametrize("literal", WHOLE)
@pytest.mark.parametrize("name", TEXT)
def test_a_whole_number_is_its_spelling(name: str, literal: str) -> None:
    """A whole number becomes the text of its digits, however many: the same text as these digits in quotes."""
    assert held(parsed(name, literal), name) == literal
    assert held(parsed(name, f'"{literal}"'), name) == literal


def test_a_number_and_its_text_have_one_token() -> None:
    """4711 and "4711" are one device; -0, a number of another spelling, is another one."""
    tokens = [
        TOKENIZER.token(DEVICE_ID, event.personal[DEVICE_ID])
        for literal in ("4711", '"4711"', "-0", "0")
        if isinstance(event := parsed("device_id", literal), ParsedEvent)
    ]
    assert tokens[0] == tokens[1]
    assert len(set(tokens)) == 3


@pytest.mark.parametrize("literal", FRACTIONS)
def test_a_version_keeps_its_spelling(literal: str) -> None:
    """1.10 is not 1.1. In every other field a fraction is refused: 4711.0 is a spelling of 4711."""
    assert held(parsed("app_version", literal), "app_version") == literal
    for name in set(TEXT) - {"app_version"}:
        assert parsed(name, literal) == Rejection(Reason.FIELD_NOT_TEXT, f"$.{name}")


@pytest.mark.parametrize("literal", EXPONENTS)
@pytest.mark.parametrize("name", TEXT)
def test_an_exponent_is_refused(name: str, literal: str) -> None:
    """A program writes a number with an exponent when it was too long for it, so digits may be lost."""
    assert parsed(name, literal) == Rejection(Reason.FIELD_NOT_TEXT, f"$.{name}")


@pytest.mark.parametrize("literal", WHOLE + FRACTIONS + EXPONENTS)
@pytest.mark.parametrize("name", ["ip", "create_date"])
def test_no_number_is_an_address_or_a_date(name: str, literal: str) -> None:
    """3405803783 may be 203.0.113.7, and 20260131 a day or a second: the parser does not guess."""
    assert parsed(name, literal) == Rejection(Reason.FIELD_NOT_TEXT, f"$.{name}")


@pytest.mark.parametrize(("name", "limit"), [("user_id", 128), ("locale", 32), ("device_id", 256)])
def test_digits_count_as_code_points(name: str, limit: int) -> None:
    """The limit of the field counts digits, far beyond an integer of 64 bits."""
    assert held(parsed(name, "7" * limit), name) == "7" * limit
    assert parsed(name, "7" * (limit + 1)) == Rejection(Reason.FIELD_TOO_LONG, f"$.{name}")
    assert parsed(name, "7" * 5000) == Rejection(Reason.FIELD_TOO_LONG, f"$.{name}")
