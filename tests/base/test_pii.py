"""Pii does not get out by accident: each way that was seen to leak is an error, or redacted."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback

import psycopg2
import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from vault_etl.base.pii import REDACTED, Pii
from vault_etl.platform.postgres_copy import copy_binary

SECRET = "198.51.100.7"  # the value that must not be seen
PII = Pii.of_text(SECRET)


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """Something with a personal value in it."""

    value: Pii


def test_expose_is_the_one_way_to_the_bytes() -> None:
    """The bytes come out unchanged."""
    assert PII.expose() == SECRET.encode()


def test_a_text_that_is_no_utf_8_is_wrapped_too() -> None:
    """A lone surrogate raises no UnicodeEncodeError, whose `object` is the whole text."""
    assert Pii.of_text(f"{SECRET}\ud800").expose() == SECRET.encode() + b"\xed\xa0\x80"


@given(st.binary())
def test_expose_gives_back_every_byte(value: bytes) -> None:
    """The value may be UTF-8 or not."""
    assert Pii(value).expose() == value


@pytest.mark.parametrize(
    "text",
    [
        repr(PII),
        str(PII),
        format(PII),
        format(PII, ">40"),
        f"{PII}",
        f"{PII!r}",
        f"{PII!s:>40}",
        "{}".format(PII),  # noqa: UP032 - one of the ways that it could get out
        "%s %r" % (PII, PII),  # noqa: UP031 - the same
        repr([PII]),
        repr({"ip": PII}),
        repr(Holder(PII)),
        pprint.pformat(Holder(PII)),
        pretty_repr(Holder(PII)),
        logging.LogRecord("n", logging.INFO, "", 1, "%s", (PII,), None).getMessage(),
    ],
)
def test_formatting_redacts(text: str) -> None:
    """Every way to make text of a value shows the redaction."""
    assert SECRET not in text
    assert REDACTED in text


def test_a_traceback_with_locals_redacts() -> None:
    """Structured tracebacks print what is in each frame."""

    def fails(value: Pii) -> None:
        raise ValueError(value)

    with pytest.raises(ValueError, match="redacted") as caught:
        fails(PII)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert f"value = {REDACTED}" in text
    assert SECRET not in text


def test_a_value_does_not_hash() -> None:
    """A dict or set key is a copy that no code tracks."""
    for value in (PII, Holder(PII)):
        with pytest.raises(TypeError):
            hash(value)


def test_a_value_is_not_compared() -> None:
    """Equality would be a test of a guess."""
    with pytest.raises(TypeError, match="not compared"):
        _ = Pii.of_text(SECRET) == PII
    with pytest.raises(TypeError, match="not compared"):
        _ = PII != SECRET
    with pytest.raises(TypeError, match="not compared"):
        _ = [Pii.of_text(SECRET)].count(PII)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_is_not_pickled(protocol: int) -> None:
    """No protocol of pickle takes a value, alone or inside another object."""
    for value in (PII, Holder(PII), [PII]):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value, protocol)


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy])
def test_a_value_is_not_copied(attempt: type) -> None:
    """A copy is one more place where a value can be forgotten."""
    with pytest.raises(TypeError, match="not pickled or copied"):
        attempt(PII)


def test_asdict_does_not_copy_a_value() -> None:
    """The function `asdict` copies the values that it finds."""
    with pytest.raises(TypeError):
        dataclasses.asdict(Holder(PII))


def test_a_value_is_not_written_as_json() -> None:
    """JSON refuses a value alone, and a value inside another object."""
    for value in (PII, {"ip": PII}):
        with pytest.raises(TypeError, match="not JSON serializable"):
            json.dumps(value)


def test_json_with_a_fallback_to_text_redacts() -> None:
    """With `default=str`, which is how values get into most logs, the redaction is written."""
    assert json.dumps({"ip": PII}, default=str) == f'{{"ip": "{REDACTED}"}}'


def test_psycopg2_does_not_adapt_a_value() -> None:
    """A value goes into no statement by accident."""
    with pytest.raises(psycopg2.ProgrammingError, match="can't adapt"):
        psycopg2.extensions.adapt(PII)


def test_copy_does_not_encode_a_value() -> None:
    """The COPY encoder refuses a value, and its error does not quote it."""
    with pytest.raises(TypeError, match=r"^Pii cannot be stored in a row$"):
        copy_binary([(1, PII)])


@pytest.mark.parametrize("attempt", [bytes, len, list, iter, int, memoryview])
def test_a_value_is_not_a_container(attempt: type) -> None:
    """No built-in function reads a value."""
    with pytest.raises(TypeError):
        attempt(PII)


def test_a_value_has_no_dict_and_takes_no_attributes() -> None:
    """`vars` shows nothing, and nothing can be hung onto it."""
    with pytest.raises(TypeError):
        vars(PII)
    with pytest.raises(AttributeError):
        PII.note = SECRET  # type: ignore[attr-defined]
