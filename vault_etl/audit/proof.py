"""What a proof of the audit log finds, by weight."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vault_etl.audit.chain import RecordedSegment
from vault_etl.audit.checkpoint import Head

MAX_LISTED: Final = 1_000
"""Problems of each kind that a proof lists, so that its memory is bounded whatever is in the log."""


class Severity(StrEnum):
    """The weight of a problem, the heaviest first."""

    TAMPERED = "tampered"
    """No role can do this: chain, head, what an entry set, or a signed checkpoint does not agree."""
    UNPROVEN = "unproven"
    """A checkpoint from outside, or every stored one, proves nothing: another key or another vault."""
    RUBBISH = "rubbish"
    """What a role may write, and what proves nothing. The log holds in spite of it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The `seq` that it is about (0: the whole log), and what is wrong there."""

    kind: Severity
    seq: int
    what: str

    def __str__(self) -> str:
        return f"entry {self.seq} {self.what}" if self.seq else f"the log {self.what}"


class Problems:
    """Counts every problem, and keeps the first 1,000 of each kind."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Severity, 0)
        self._kept: dict[Severity, list[Problem]] = {kind: [] for kind in Severity}

    @property
    def any_tampered(self) -> bool:
        """Whether there is one of this kind."""
        return self.counts[Severity.TAMPERED] > 0

    def tampered(self, seq: int, what: str) -> None:
        """Add one of this kind."""
        self._add(Problem(Severity.TAMPERED, seq, what))

    def unproven(self, seq: int, what: str) -> None:
        """Add one of this kind."""
        self._add(Problem(Severity.UNPROVEN, seq, what))

    def rubbish(self, seq: int, what: str) -> None:
        """Add one of this kind."""
        self._add(Problem(Severity.RUBBISH, seq, what))

    def by_weight(self) -> list[Problem]:
        """Those that are kept, the heaviest first, each kind in the order of the log."""
        return [
            problem
            for kind in Severity
            for problem in sorted(self._kept[kind], key=lambda problem: problem.seq)
        ]

    def _add(self, problem: Problem) -> None:
        self.counts[problem.kind] += 1
        if len(self._kept[problem.kind]) < MAX_LISTED:
            self._kept[problem.kind].append(problem)


@dataclass(slots=True)
class Proof:
    """What was found up to `head`, the newest entry that is there.

    `problems` are by weight, and `counts` has those that are not listed too. `unfinished` are
    intents without an outcome: read them as "possibly revealed". `unsigned` are outcomes that were
    done, have no checkpoint of their own, and ask for one: signing failed and nothing was shown, or somebody
    removed it. Every list has 1,000 at most of a kind. `unread` are segments that were not given:
    the chain was entered behind them, at a head that the record names and a given key signed.
    """

    head: Head
    entries: int = 0
    unread: list[RecordedSegment] = field(default_factory=list)
    checkpoints: int = 0
    unfinished: list[int] = field(default_factory=list)
    unsigned: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the log holds: rubbish, which any role can write, does not change that."""
        return not self.counts[Severity.TAMPERED] and not self.counts[Severity.UNPROVEN]

    @property
    def problem(self) -> Problem | None:
        """The heaviest problem, if the log does not hold."""
        return None if self.ok else self.problems[0]
