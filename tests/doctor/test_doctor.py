"""A diagnosis has a line for every check, whatever is away, refused or broken."""

from __future__ import annotations

import pytest

from vault_etl.base.errors import (
    ConfigurationError,
    DeniedError,
    IntegrityError,
    KeyDeniedError,
    KeyUnavailableError,
    PolicyDeniedError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.doctor.doctor import Check, Verdict, diagnose

GOOD = Verdict.good("fine")


def raising(error: BaseException) -> Verdict:
    """A look that ends in this error."""
    raise error


def found(*checks: Check) -> dict[str, tuple[bool | None, str]]:
    """What a diagnosis says, by check."""
    return {f.check: (f.verdict.ok, f.verdict.detail) for f in diagnose(checks)}


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("away", hint="wait"),
        ConfigurationError("malformed", hint="wait"),
        IntegrityError(),
        KeyUnavailableError("disabled", hint="wait"),
        VaultEtlError("refused"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("ought", [False, True])
def test_an_error_is_a_finding_with_its_hint(error: VaultEtlError, ought: bool) -> None:
    """And what comes after it is looked at all the same."""
    first, second = diagnose(
        [Check("a", lambda: raising(error), ought=lambda: ought), Check("b", lambda: GOOD)]
    )
    assert first.verdict == Verdict.bad(str(error), error.hint)
    assert second.verdict == GOOD


@pytest.mark.parametrize(
    "error",
    [
        DeniedError("no"),
        KeyDeniedError("no"),
        PolicyDeniedError("no", hint="ask", seq=1, hash_=bytes(32)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_role_may_not_see_is_no_fault(error: VaultEtlError) -> None:
    """Unless it ought to see it: then the refusal is one."""
    shown = found(
        Check("a", lambda: raising(error)), Check("b", lambda: raising(error), ought=lambda: True)
    )
    assert shown == {"a": (None, "not visible to this role"), "b": (False, "no")}


def test_who_cannot_say_what_it_ought_to_see_is_not_told_off() -> None:
    """The database that would know is away, which is a finding of its own."""

    def ought() -> bool:
        raise UnavailableError("away")

    assert found(Check("a", lambda: raising(DeniedError("no")), ought=ought)) == {
        "a": (None, "not visible to this role")
    }


def test_what_rests_on_a_fault_names_it() -> None:
    """Down to the last, which names the first: one fault, one line that says so."""
    looked: list[str] = []

    def look() -> Verdict:
        looked.append("looked")
        return GOOD

    assert found(
        Check("a", lambda: Verdict.bad("away", None)),
        Check("b", look, ("a",)),
        Check("c", look, ("b",)),
        Check("d", lambda: GOOD),
        Check("e", look, ("d", "c")),
        Check("f", look, ("d",)),
    ) == {
        "a": (False, "away"),
        "b": (None, "needs a"),
        "c": (None, "needs a"),
        "d": (True, "fine"),
        "e": (None, "needs a"),
        "f": (True, "fine"),
    }
    assert looked == ["looked"]


def test_what_rests_on_the_invisible_is_invisible() -> None:
    """It says so itself."""
    shown = found(Check("a", lambda: raising(DeniedError("no"))), Check("b", lambda: GOOD, ("a",)))
    assert shown["b"] == shown["a"] == (None, "not visible to this role")


def test_a_bug_is_no_finding() -> None:
    """It is raised, to be reported."""
    with pytest.raises(ZeroDivisionError):
        found(Check("a", lambda: raising(ZeroDivisionError())))


def test_a_finding_comes_when_it_is_found() -> None:
    """Not after the last check, which may take its time."""
    findings = diagnose([Check("a", lambda: GOOD), Check("b", lambda: raising(RuntimeError()))])
    assert next(findings).check == "a"
