"""Each fault of a declaration has its line and one clear error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.declaration.bad_declarations import CASES
from tests.declaration.good_declaration import GOOD, with_lines
from vault_etl.declaration.faults import FaultyDeclarationError
from vault_etl.declaration.parse import MAX_BYTES, parse_declaration

NAME = "vault-etl.schema.toml"


def fault_of(text: bytes) -> FaultyDeclarationError:
    """The error of a declaration."""
    with pytest.raises(FaultyDeclarationError) as caught:
        parse_declaration(text, NAME)
    return caught.value


def test_the_good_declaration_is_good() -> None:
    """The cases differ from a declaration without a fault."""
    assert parse_declaration(GOOD.encode(), NAME).event("logins").subject.name == "user_id"


@pytest.mark.parametrize(("text", "part"), CASES.values(), ids=CASES)
def test_one_fault_is_one_error_with_its_line(text: str, part: str) -> None:
    """The error has the line, the words and a hint, and there is no second error for one fault."""
    error = fault_of(text.encode())
    line = text.partition("#!")[0].count("\n") + 1 if "#!" in text else 1
    assert part in str(error)
    assert [fault.line for fault in error.faults] == [line], error.faults
    assert str(error).startswith(f"{NAME}:{line}: ")
    assert error.hint
    assert error.exit_code == 65


def test_all_faults_are_found_at_once() -> None:
    """The first fault by its line is the message, and says how many there are."""
    error = fault_of(with_lines("os = {type = 'int'}", "x = 1").replace('"ip"', '"mac"').encode())
    assert [fault.line for fault in error.faults] == [4, 13, 14]
    assert str(error).endswith("there is no kind mac (and 2 more: vault-etl schema check)")


def test_bytes_that_are_not_utf8_have_a_line() -> None:
    """TOML is UTF-8."""
    error = fault_of(GOOD.encode() + b"\n\n# \xff\n")
    assert str(error) == f"{NAME}:15: not UTF-8"


def test_a_byte_order_mark_is_left_out() -> None:
    """Some editors write one."""
    assert parse_declaration(b"\xef\xbb\xbf" + GOOD.encode(), NAME) == parse_declaration(
        GOOD.encode(), NAME
    )


@pytest.mark.timeout(20)
def test_a_large_file_is_one_fault() -> None:
    """A file above the limit is not parsed, and one below it is compared with the limits of a declaration first."""
    large = fault_of(GOOD.encode() + b"#" * MAX_BYTES)
    assert str(large) == f"{NAME}:1: the file has more than 1,048,576 bytes"
    columns = [f'k{at} = {{type = "integer"}}' for at in range(10_000)]
    many = fault_of(with_lines(*columns).encode())
    assert "10002 plain values are too many: 64 at most" in str(many)
    assert len(many.faults) == 1


def test_a_deep_document_is_a_fault() -> None:
    """Nesting that exhausts the parser is no bug of ours."""
    assert "nested too deep" in str(fault_of(b"a = " + b"[" * 100_000))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_faults(content: bytes) -> None:
    """No content raises anything but our error."""
    assert fault_of(content).faults


lines = st.sampled_from(GOOD.splitlines())
scraps = st.sampled_from(["retired = true", "x = 1", "[fields]", "max = 2", "queue = 'a'", ""])


@given(st.lists(lines | scraps, max_size=14))
def test_arbitrary_lines_are_a_declaration_or_faults(chosen: list[str]) -> None:
    """Any mix of right lines is a declaration, or has faults with lines that exist."""
    text = "\n".join(chosen)
    try:
        parse_declaration(text.encode(), NAME)
    except FaultyDeclarationError as error:
        assert all(1 <= fault.line <= text.count("\n") + 1 for fault in error.faults)  # noqa: PT017
