"""Run checks one after the other, whatever they find, and report one line for each finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from vault_etl.base.errors import DeniedError, KeyDeniedError, KeyUnavailableError, VaultEtlError


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check. Every text and value in it may be shown: nothing is secret or personal."""

    ok: bool | None
    """None: the check does not apply, or this role may not see its subject."""
    detail: str
    hint: str | None = None
    """The remedy, if `ok` is False."""
    values: Mapping[str, object] = field(default_factory=dict)
    """The numbers and times of `detail`, for a program."""

    @classmethod
    def good(cls, detail: str, **values: object) -> Self:
        """Return the verdict that all is as it must be."""
        return cls(ok=True, detail=detail, values=values)

    @classmethod
    def bad(cls, detail: str, hint: str | None, **values: object) -> Self:
        """Return the verdict that something is wrong, with its remedy."""
        return cls(ok=False, detail=detail, hint=hint, values=values)

    @classmethod
    def unknown(cls, detail: str) -> Self:
        """Return the verdict that the check could not decide, for this reason."""
        return cls(ok=None, detail=detail)


@dataclass(frozen=True, slots=True)
class Check:
    """A check with a stable name."""

    name: str
    run: Callable[[], Verdict | Sequence[Verdict]]
    """Returns one verdict, or one for each fault."""
    rests_on: tuple[str, ...] = ()
    """Earlier checks that must hold; otherwise this check is not run, and its verdict names the first that fails."""
    must_see: Callable[[], bool] = lambda: False
    """Tells whether this caller needs access, so that a refusal is a fault. Called only after a refusal."""
    shown_to: str | None = None
    """The role that has access; a refused caller is told its name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, and the name of its check."""

    check: str
    verdict: Verdict


def diagnose(checks: Sequence[Check]) -> Iterator[Finding]:
    """Run every check in order. Outages and refusals become findings; only bugs are raised."""
    found: dict[str, Verdict] = {}
    for check in checks:
        lacking = next((name for name in check.rests_on if not found[name].ok), None)
        if lacking is None:
            verdicts = _run(check)
        elif found[lacking].ok is None:  # its own detail says why
            verdicts = [found[lacking]]
        else:
            verdicts = [Verdict.unknown(f"needs {lacking}")]
        found[check.name] = verdicts[0]
        yield from (Finding(check.name, verdict) for verdict in verdicts)


def _run(check: Check) -> Sequence[Verdict]:
    try:
        found = check.run()
    except VaultEtlError as error:
        if _is_refusal(error) and not _must_see(check):
            to = f"; {check.shown_to} sees it" if check.shown_to else ""
            return [Verdict.unknown(f"not visible to this role{to}")]
        return [Verdict.bad(str(error), error.hint)]
    return [found] if isinstance(found, Verdict) else found


def _must_see(check: Check) -> bool:
    try:
        return check.must_see()
    except VaultEtlError:
        return False


def _is_refusal(error: VaultEtlError) -> bool:
    """Tell whether the error is about the caller's rights. A key that no caller can use is not a refusal."""
    if isinstance(error, KeyUnavailableError):
        return isinstance(error, KeyDeniedError)
    return isinstance(error, DeniedError)
