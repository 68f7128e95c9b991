"""Laws of the parser, for any input."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.login_events import DEFAULTS
from tests.kit.login_kinds import KINDS
from tests.kit.login_records import column
from tests.kit.parsed import parse_event
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection

KNOWN = (*DEFAULTS, "create_date")
PATHS = {"$", *(f"$.{name}" for name in KNOWN)}
MARK = "leak-4711"

texts = st.text(st.characters(), max_size=300)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
nearly_events = st.fixed_dictionaries(
    {}, optional={name: st.just(DEFAULTS.get(name, "2026-01-31")) | values for name in KNOWN}
)


def check(result: ParsedEvent | Rejection) -> None:
    """Assert the laws that hold of every result."""
    if isinstance(result, Rejection):
        assert isinstance(result.reason, Reason)
        assert result.path in PATHS
        assert re.fullmatch(r"[a-z0-9_]{1,40}", result.reason)
        return
    assert KINDS[IP].canonical(result.personal[IP].expose().decode())
    assert KINDS[DEVICE_ID].canonical(result.personal[DEVICE_ID].expose().decode())
    for text in (
        result.subject,
        column(result, "device_type"),
        column(result, "locale"),
        column(result, "app_version"),
    ):
        assert text is None or ("\x00" not in text and text.encode())


@given(st.binary(max_size=2_000))
def test_arbitrary_bytes_never_raise(body: bytes) -> None:
    """No message on the queue can stop the run."""
    check(parse_event(body))


@given(
    st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b"1", b"a", b" "]))
)
def test_arbitrary_pieces_of_json_never_raise(pieces: list[bytes]) -> None:
    """The pre-scan of nesting and the JSON parser agree on what they can take."""
    check(parse_event(b"".join(pieces)))
    check(parse_event(b"[" * 65 + b"".join(pieces)))


@given(values)
def test_arbitrary_json_never_raises(value: object) -> None:
    """The values include NaN, surrogates, NULs and odd names."""
    check(parse_event(json.dumps(value).encode()))


@settings(max_examples=300)
@given(nearly_events, st.dictionaries(texts, values, max_size=3))
def test_an_object_that_is_nearly_an_event_never_raises(
    fields: dict[str, object], extras: dict[str, object]
) -> None:
    """Good and bad fields come in every mixture."""
    check(parse_event(json.dumps({**extras, **fields}).encode()))


@given(nearly_events)
def test_a_rejection_never_holds_the_input(fields: dict[str, object]) -> None:
    """A rejection goes into plain columns and logs: a reason code, and a path out of a closed list."""
    marked = {
        name: f"{value}{MARK}" if isinstance(value, str) else value
        for name, value in fields.items()
    }
    marked[MARK] = MARK
    result = parse_event(json.dumps(marked).encode())
    if isinstance(result, Rejection):
        assert MARK not in repr(result)
        assert (result.reason.value, result.path) in {(r.value, p) for r in Reason for p in PATHS}


@given(texts)
def test_an_accepted_device_id_is_kept_byte_for_byte(device: str) -> None:
    """The sealed value of an accepted event is the device id that came in."""
    result = parse_event(json.dumps({**DEFAULTS, "device_id": device}).encode())
    if isinstance(result, ParsedEvent):
        assert result.personal[DEVICE_ID].expose() == device.encode()
