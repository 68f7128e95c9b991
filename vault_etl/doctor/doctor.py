"""Check everything that a vault rests on, one line a check, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from vault_etl.base.errors import DeniedError, KeyDeniedError, KeyUnavailableError, VaultEtlError


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. Nothing in it is secret or personal."""

    ok: bool | None
    """None: it does not apply, or this role may not see it."""
    detail: str
    hint: str | None = None
    """How to mend it; of what is not ok."""
    values: Mapping[str, object] = field(default_factory=dict)
    """The numbers and times of `detail`, for a program."""

    @classmethod
    def good(cls, detail: str, **values: object) -> Self:
        """It is as it must be."""
        return cls(ok=True, detail=detail, values=values)

    @classmethod
    def bad(cls, detail: str, hint: str | None, **values: object) -> Self:
        """It is not, and this mends it."""
        return cls(ok=False, detail=detail, hint=hint, values=values)

    @classmethod
    def unknown(cls, detail: str) -> Self:
        """There is nothing to say, for this reason."""
        return cls(ok=None, detail=detail)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at, by a stable name."""

    name: str
    look: Callable[[], Verdict | Sequence[Verdict]]
    """What is found: one verdict, or one for each thing that is wrong."""
    rests_on: tuple[str, ...] = ()
    """Checks that come before: unless they hold, this one names the first that does not."""
    ought: Callable[[], bool] = lambda: False
    """Whether this caller ought to see it, so that a refusal is a fault. Asked if there is one."""
    shown_to: str | None = None
    """The role that sees it, to be told to one that does not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check, and what it found."""

    check: str
    verdict: Verdict


def diagnose(checks: Sequence[Check]) -> Iterator[Finding]:
    """Every check in its turn. What is away or refused is a finding; only a bug is raised."""
    found: dict[str, Verdict] = {}
    for check in checks:
        lacking = next((name for name in check.rests_on if not found[name].ok), None)
        if lacking is None:
            verdicts = _look(check)
        elif found[lacking].ok is None:  # it says itself why
            verdicts = [found[lacking]]
        else:
            verdicts = [Verdict.unknown(f"needs {lacking}")]
        found[check.name] = verdicts[0]
        yield from (Finding(check.name, verdict) for verdict in verdicts)


def _look(check: Check) -> Sequence[Verdict]:
    try:
        found = check.look()
    except VaultEtlError as error:
        if _is_refusal(error) and not _ought(check):
            to = f"; {check.shown_to} sees it" if check.shown_to else ""
            return [Verdict.unknown(f"not visible to this role{to}")]
        return [Verdict.bad(str(error), error.hint)]
    return [found] if isinstance(found, Verdict) else found


def _ought(check: Check) -> bool:
    try:
        return check.ought()
    except VaultEtlError:
        return False


def _is_refusal(error: VaultEtlError) -> bool:
    """Whether it is about the caller. A key that nobody can use is another matter."""
    if isinstance(error, KeyUnavailableError):
        return isinstance(error, KeyDeniedError)
    return isinstance(error, DeniedError)
