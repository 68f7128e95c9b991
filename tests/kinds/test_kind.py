"""A kind is made from its name and options, and tells no value in an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from tests.kit.declared import DEVICE_ID
from tests.kit.login_kinds import KINDS
from vault_etl.base.pii import Pii
from vault_etl.event.rejection import Reason
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import OPTIONS, make_kind

_REGION: Final = "the option 'region' must be a country code in capitals, such as 'CH'"


def test_a_kind_is_equal_to_one_of_its_name_version_and_options() -> None:
    """So two declarations can be compared, and a cache finds the kind that it had."""
    assert make_kind("text", {"max": 256}) == make_kind("text", {}) == KINDS[DEVICE_ID]
    assert hash(make_kind("text", {"max": 256})) == hash(make_kind("text", {}))
    assert make_kind("text", {"max": 255}) != make_kind("text", {})
    assert make_kind("ip", {}) != make_kind("text", {})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ipv4", {}, "there is no kind 'ipv4': the kinds are ip, text, email, phone, uuid, digits"),
        ("ip", {"max": 3}, "the kind ip has no option 'max': it has none"),
        ("text", {"mx": 3}, "the kind text has no option 'mx': its options are max"),
        ("text", {"max": 0}, "the option 'max' must be a whole number from 1 to 4096"),
        ("text", {"max": 4097}, "the option 'max' must be a whole number from 1 to 4096"),
        ("text", {"max": True}, "the option 'max' must be a whole number from 1 to 4096"),
        ("text", {"max": "9"}, "the option 'max' must be a whole number from 1 to 4096"),
        ("text", {"max": 2.0}, "the option 'max' must be a whole number from 1 to 4096"),
        ("digits", {"min": 0}, "the option 'min' must be a whole number from 1 to 64"),
        ("digits", {"max": 65}, "the option 'max' must be a whole number from 1 to 64"),
        ("digits", {"min": 9, "max": 8}, "the option 'min' must not be greater than 'max'"),
        ("phone", {"region": 41}, "the option 'region' must be a text"),
        ("phone", {"region": "ch"}, _REGION),
        ("phone", {"region": "XX"}, _REGION),
        ("phone", {"region": "001"}, _REGION),
    ],
)
def test_a_wrong_kind_or_option_is_told(
    name: str, options: Mapping[str, object], message: str
) -> None:
    """The text is for the author of a declaration."""
    with pytest.raises(ValueError, match=r".") as caught:
        make_kind(name, options)
    assert str(caught.value) == message


@pytest.fixture(params=OPTIONS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind, with the options that it has by default."""
    return make_kind(request.param, {})


def test_a_kind_refuses_by_a_reason_that_is_known(kind: Kind) -> None:
    """The reason code of a kind is one that quarantine knows."""
    assert {Reason(kind.reason), Reason(kind.reason_too_long)} <= set(Reason)


@pytest.mark.parametrize("value", [b"", b"\xff\xfe4711", b"  ", "\u200b".encode()])
def test_a_refusal_does_not_tell_the_value(kind: Kind, value: bytes) -> None:
    """The error names the kind alone, and no cause is shown with it."""
    with pytest.raises(ValueError, match=f"^not a value of the kind {kind.name}$") as caught:
        kind.held(Pii(value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "options", "typed", "searched"),
    [
        ("phone", {"region": "BJ"}, "01 20 21 12 34", "+2290120211234"),
        ("phone", {"region": "BJ"}, "+22920211234", "+22920211234"),  # a number until 2024
        ("digits", {"min": 8}, "12-34", "12-34"),
        ("email", {}, "Bob@B\u00fccher.example", "Bob@xn--bcher-kva.example"),
        ("ip", {}, " 203.0.113.7", " 203.0.113.7"),
    ],
)
def test_a_value_of_former_rules_can_be_searched_for(
    name: str, options: Mapping[str, object], typed: str, searched: str
) -> None:
    """Records hold it, although an event with it would be refused today."""
    assert make_kind(name, options).held(Pii.of_text(typed)).expose().decode() == searched


def test_text_that_no_rule_accepts_is_not_searched_for() -> None:
    """A national number without its region has no canonical form."""
    for name, text in (("phone", "22920211234"), ("digits", "12x"), ("email", "bob")):
        with pytest.raises(ValueError, match=f"^not a value of the kind {name}$"):
            make_kind(name, {}).held(Pii.of_text(text))


REFUSED = {
    "ip": ["", "2001::db8::471", "1.2.3.471", "4711 \ud800"],
    "text": ["", " ", "4711 \ud800 4711"],
    "email": ["471", "471@\u2603.example", "471@\u1e9e.example", "4\ud800@x.example", "471@a b"],
    "phone": ["471", "+471x", "+999 471 471 471"],
    "uuid": ["471"],
    "digits": ["471x"],
}


@pytest.mark.parametrize("rule", ["accept", "canonical"])
@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in REFUSED.items() for text in texts]
)
def test_the_error_of_a_rule_does_not_hold_the_value(name: str, text: str, rule: str) -> None:
    """The libraries beneath put the value into their errors."""
    with pytest.raises(ValueError, match=r".") as caught:
        getattr(make_kind(name, {}), rule)(text)
    assert type(caught.value) is ValueError
    assert "471" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
