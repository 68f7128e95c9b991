"""The result of a proof of the audit log: its problems by severity, and counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vault_etl.audit.chain import RecordedSegment
from vault_etl.audit.checkpoint import Head

MAX_LISTED: Final = 1_000
"""A proof lists this many problems of each severity, so that its memory is bounded whatever the log holds."""


class Severity(StrEnum):
    """The severity of a problem, the most severe first."""

    TAMPERED = "tampered"
    """A state that no role can cause: chain, head, what an entry set, or a signed checkpoint does not agree."""
    UNPROVEN = "unproven"
    """A checkpoint from outside, or every stored one, proves nothing: it has another key or another vault."""
    NOISE = "noise"
    """A row that a role may write and that proves nothing. The log holds in spite of it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The `seq` that it is about (0: the whole log), and a description."""

    kind: Severity
    seq: int
    what: str

    def __str__(self) -> str:
        return f"entry {self.seq} {self.what}" if self.seq else f"the log {self.what}"


class Problems:
    """Counts every problem, and keeps the first 1,000 of each severity."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Severity, 0)
        self._kept: dict[Severity, list[Problem]] = {kind: [] for kind in Severity}

    @property
    def any_tampered(self) -> bool:
        """Say whether a problem of this severity was found."""
        return self.counts[Severity.TAMPERED] > 0

    def tampered(self, seq: int, what: str) -> None:
        """Add a problem of this severity."""
        self._add(Problem(Severity.TAMPERED, seq, what))

    def unproven(self, seq: int, what: str) -> None:
        """Add a problem of this severity."""
        self._add(Problem(Severity.UNPROVEN, seq, what))

    def noise(self, seq: int, what: str) -> None:
        """Add a problem of this severity."""
        self._add(Problem(Severity.NOISE, seq, what))

    def by_weight(self) -> list[Problem]:
        """Return the problems that are kept, the most severe first, each severity in the order of the log."""
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
    """The findings up to `head`, the newest entry that is there.

    `problems` are by severity, and `counts` includes those that are not listed. `unfinished` are
    intents without an outcome: read them as "possibly revealed". `unsigned` are outcomes that were
    done, and need a checkpoint of their own, but have none: signing failed and nothing was shown, or the
    checkpoint was removed. Every list has 1,000 entries of a kind at most. `unread` are segments that
    were not given: the chain was entered after them, at a head that the record names and a given key signed.
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
        """Say whether the log holds: noise, which any role can write, does not change that."""
        return not self.counts[Severity.TAMPERED] and not self.counts[Severity.UNPROVEN]

    @property
    def problem(self) -> Problem | None:
        """The most severe problem, if the log does not hold."""
        return None if self.ok else self.problems[0]
