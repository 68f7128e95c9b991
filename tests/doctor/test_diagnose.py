"""A diagnosis has a finding for every check, also after outages, refusals and damage."""

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
from vault_etl.doctor.diagnose import Check, Verdict, diagnose

GOOD = Verdict.good("fine")


def raising(error: BaseException) -> Verdict:
    """Raise this error in place of a verdict."""
    raise error


def found(*checks: Check) -> dict[str, tuple[bool | None, str]]:
    """Return result and detail by check."""
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
@pytest.mark.parametrize("must_see", [False, True])
def test_an_error_is_a_finding_with_its_hint(error: VaultEtlError, must_see: bool) -> None:
    """The checks after it run nevertheless."""
    first, second = diagnose(
        [Check("a", lambda: raising(error), must_see=lambda: must_see), Check("b", lambda: GOOD)]
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
def test_a_refusal_is_no_fault(error: VaultEtlError) -> None:
    """A refusal is a fault if the role must see the subject."""
    shown = found(
        Check("a", lambda: raising(error)),
        Check("b", lambda: raising(error), must_see=lambda: True),
    )
    assert shown == {"a": (None, "not visible to this role"), "b": (False, "no")}


def test_a_refusal_is_no_fault_if_the_rights_are_unknown() -> None:
    """The database that knows the rights is away, which is a finding of its own."""

    def must_see() -> bool:
        raise UnavailableError("away")

    assert found(Check("a", lambda: raising(DeniedError("no")), must_see=must_see)) == {
        "a": (None, "not visible to this role")
    }


def test_a_check_that_rests_on_a_fault_names_it() -> None:
    """Every later check names the first fault."""
    runs: list[str] = []

    def run() -> Verdict:
        runs.append("run")
        return GOOD

    assert found(
        Check("a", lambda: Verdict.bad("away", None)),
        Check("b", run, ("a",)),
        Check("c", run, ("b",)),
        Check("d", lambda: GOOD),
        Check("e", run, ("d", "c")),
        Check("f", run, ("d",)),
    ) == {
        "a": (False, "away"),
        "b": (None, "needs a"),
        "c": (None, "needs a"),
        "d": (True, "fine"),
        "e": (None, "needs a"),
        "f": (True, "fine"),
    }
    assert runs == ["run"]


def test_a_check_that_rests_on_a_refusal_is_refused() -> None:
    """Both have the same verdict."""
    shown = found(Check("a", lambda: raising(DeniedError("no"))), Check("b", lambda: GOOD, ("a",)))
    assert shown["b"] == shown["a"] == (None, "not visible to this role")


def test_a_bug_is_no_finding() -> None:
    """A bug is raised, and gets a report."""
    with pytest.raises(ZeroDivisionError):
        found(Check("a", lambda: raising(ZeroDivisionError())))


def test_a_finding_comes_when_it_is_found() -> None:
    """Findings do not wait for the last check, which may be slow."""
    findings = diagnose([Check("a", lambda: GOOD), Check("b", lambda: raising(RuntimeError()))])
    assert next(findings).check == "a"
