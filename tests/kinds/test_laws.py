"""Laws of all kinds: equal spellings give equal forms, other values other forms, and no error tells a value."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.kind_values import ALNUM, OTHERWISE, VALUES
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import OPTIONS, make_kind

KINDS: Final[Mapping[str, Kind]] = {
    **{name: make_kind(name, {}) for name in OPTIONS},
    "phone": make_kind("phone", {"region": "CH"}),
}
EACH: Final = pytest.mark.parametrize("name", KINDS)

WRITTEN: Final[Mapping[str, Callable[[bytes], str]]] = {
    "ip": lambda form: str(ipaddress.IPv6Address(form)),
    "uuid": lambda form: str(uuid.UUID(bytes=form)),
}
"""The text of a canonical form, where this is not its UTF-8."""

ANY: Final = st.text() | st.text(f"{ALNUM}.@+- :{{}}\u00fc\uff0e\u0301\u037e", max_size=60)


@EACH
@given(data=st.data())
def test_the_canonical_form_is_idempotent(name: str, data: st.DataObject) -> None:
    """The text of a canonical form has the same form, and sealed text is accepted as it is."""
    kind = KINDS[name]
    sealed = kind.accept(data.draw(VALUES[name]))
    assert kind.accept(sealed) == sealed
    form = kind.canonical(sealed)
    assert kind.read(sealed) == (sealed, form)
    assert kind.canonical(WRITTEN.get(name, bytes.decode)(form)) == form


@EACH
@given(data=st.data())
def test_two_spellings_of_a_value_have_one_form(name: str, data: st.DataObject) -> None:
    """A sender that writes values otherwise is joined with the rest."""
    kind, text = KINDS[name], data.draw(VALUES[name])
    other = OTHERWISE[name](text)
    assert kind.canonical(kind.accept(other)) == kind.canonical(kind.accept(text))
    assert len(other) <= kind.max_code_points


@EACH
@given(data=st.data())
def test_two_values_have_two_forms(name: str, data: st.DataObject) -> None:
    """Generated values have one spelling each: where two differ, so do their forms."""
    kind = KINDS[name]
    one, other = data.draw(VALUES[name]), data.draw(VALUES[name])
    if _spelled(name, one) != _spelled(name, other):
        assert kind.canonical(kind.accept(one)) != kind.canonical(kind.accept(other))


def _spelled(name: str, text: str) -> str:
    """Fold what the kind folds, by other means than its own."""
    if name == "email":
        local, _, domain = text.partition("@")
        return f"{local}@{domain.casefold()}"
    if name == "text":
        return unicodedata.normalize("NFC", text)
    return text


@EACH
@given(ANY)
def test_a_rule_raises_nothing_but_value_errors(name: str, text: str) -> None:
    """No value stops a run, and no error holds one: neither in its text, nor as its cause."""
    kind = KINDS[name]
    for rule in (kind.accept, kind.canonical, kind.mask, *(one.canonical for one in kind.derived)):
        try:
            rule(text)
        except ValueError as error:
            told = error
        else:
            continue
        assert type(told) is ValueError
        assert re.fullmatch(r"[A-Za-z0-9.,() ]+", str(told))
        assert told.args == (str(told),)
        assert told.__cause__ is told.__context__ is None


@EACH
@given(data=st.data())
def test_sealed_text_has_all_that_is_made_from_it(name: str, data: st.DataObject) -> None:
    """A form, a mask and derived forms: none of them fails after a value was accepted."""
    kind = KINDS[name]
    try:
        sealed = kind.accept(data.draw(VALUES[name] | ANY))
    except ValueError:
        return
    assert kind.canonical(sealed)
    assert kind.mask(sealed)
    assert all(one.canonical(sealed) for one in kind.derived)
    assert len(sealed.encode()) <= kind.max_bytes or len(sealed) > kind.max_code_points
    assert sealed.isascii() or not kind.is_ascii


@EACH
@given(data=st.data())
def test_a_mask_tells_little(name: str, data: st.DataObject) -> None:
    """It holds at most three characters of a value, at its end, and the same for values of any length."""
    kind = KINDS[name]
    shown = kind.mask(kind.accept(data.draw(VALUES[name])))
    assert len(shown.replace("*", "").replace(".", "").replace(":", "").replace("@", "")) <= 3


@EACH
def test_a_placeholder_is_a_value_in_lower_case(name: str) -> None:
    """Its token is found by its form in lower case, so no two of them have one form."""
    kind = KINDS[name]
    forms = [kind.canonical(kind.accept(text)) for text in kind.placeholders]
    assert len(set(forms)) == len(forms)
    assert all(form == form.lower() for form in forms)


@pytest.mark.parametrize("name", ["ip", "uuid"])
def test_a_placeholder_in_bytes_has_no_letter(name: str) -> None:
    """Otherwise the form of another value, in lower case, could be the form of a placeholder."""
    forms = [KINDS[name].canonical(text) for text in KINDS[name].placeholders]
    assert not any(form.swapcase() != form for form in forms)


@EACH
def test_a_kind_refuses_blank_text(name: str) -> None:
    """Blanks must not become one giant duplicate."""
    for text in ("", " ", "\u200b", "\t\u3000"):
        with pytest.raises(ValueError, match=r"."):
            KINDS[name].accept(text)


@EACH
def test_a_kind_has_a_sentence_for_a_person(name: str) -> None:
    """As errors are written: lower case, no final period. So is what a derived token leaks."""
    kind = KINDS[name]
    assert re.fullmatch(r"a value is .*[^.]", kind.hint)
    for derived in kind.derived:
        assert re.fullmatch(r"records of .*[^.]", derived.leaks)
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,30}", derived.name)
