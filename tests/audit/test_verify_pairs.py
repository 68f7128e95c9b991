"""Outcomes without their intents are noise, unless something heavier says why; memory is bounded."""

from __future__ import annotations

from typing import Any, Final

import pytest

from vault_etl.audit import verify_entries as verify_pairs
from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.proof import Problems, Severity
from vault_etl.audit.verify_entries import Pairs

SAME: Final[dict[str, Any]] = {
    **dict.fromkeys(LoggedEntry._fields),
    "login": "ana",
    "action": "reveal",
    "fields": ["ip"],
}


def entry(seq: int, phase: str, request_id: str = "r", **other: object) -> LoggedEntry:
    """An allowed intent, or an outcome that was done."""
    decision = "allowed" if phase == "intent" else "done"
    values = SAME | {"seq": seq, "phase": phase, "request_id": request_id, "decision": decision}
    return LoggedEntry(**(values | other))


def judged(*entries: LoggedEntry, tampered: bool = False) -> tuple[Pairs, list[tuple[int, str]]]:
    """The pairs, and the noise that was found."""
    problems = Problems()
    if tampered:
        problems.tampered(1, "was changed")
    pairs = Pairs(problems, whole=True)
    for one in entries:
        pairs.judge(one)
    return pairs, [(p.seq, p.what) for p in problems.by_weight() if p.kind is Severity.NOISE]


def test_a_matching_outcome_is_no_problem() -> None:
    """A matching outcome is no problem, and leaves no intent open."""
    pairs, noise = judged(entry(1, "intent"), entry(2, "outcome"))
    assert (noise, pairs.unfinished(), pairs.unfinished_count) == ([], [], 0)


@pytest.mark.parametrize(
    "before",
    [[], [entry(1, "intent", "other")], [entry(1, "intent", decision="denied")]],
    ids=["none", "another request", "a denied one"],
)
def test_an_outcome_without_an_allowed_intent_is_noise(before: list[LoggedEntry]) -> None:
    """The problem names the login that wrote it."""
    _, noise = judged(*before, entry(2, "outcome"))
    assert noise == [(2, "has no intent before it, by ana")]


def test_the_second_outcome_of_an_intent_is_noise() -> None:
    """The first outcome has used the intent."""
    _, noise = judged(entry(1, "intent"), entry(2, "outcome"), entry(3, "outcome"))
    assert noise == [(3, "has no intent before it, by ana")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("login", "bob"),
        ("actor", "y"),
        ("host", "y"),
        ("action", "find"),
        ("record_id", "y"),
        ("fields", ["device_id"]),
        ("purpose", "y"),
        ("ticket", "y"),
    ],
)
def test_an_outcome_that_differs_from_its_intent_is_noise(column: str, value: Any) -> None:  # noqa: ANN401
    """Each column that both have in common is changed."""
    _, noise = judged(entry(1, "intent"), entry(2, "outcome")._replace(**{column: value}))
    by = "bob" if column == "login" else "ana"
    assert noise == [(2, f"is the outcome of something else than its intent, entry 1, by {by}")]


def test_a_tampered_intent_makes_its_outcome_no_noise() -> None:
    """A missing or changed intent is a tampering, not a role's noise."""
    _, noise = judged(
        entry(2, "outcome"),
        entry(3, "intent", "s"),
        entry(4, "outcome", "s", login="bob"),
        tampered=True,
    )
    assert noise == []


def test_of_too_many_open_intents_the_oldest_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """They count as unfinished, and an outcome of one of them is not called one without an intent."""
    monkeypatch.setattr(verify_pairs, "MAX_OPEN", 3)
    monkeypatch.setattr(verify_pairs, "MAX_LISTED", 4)
    many = [entry(seq, "intent", str(seq)) for seq in range(1, 7)]
    pairs, noise = judged(*many, entry(7, "outcome", "1"))
    assert (noise, pairs.unfinished(), pairs.unfinished_count) == ([], [1, 2, 3, 4], 6)


def test_as_many_open_intents_as_the_limit_are_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is given up yet: the outcome of the oldest is still compared with it."""
    monkeypatch.setattr(verify_pairs, "MAX_OPEN", 3)
    intents = [entry(seq, "intent", str(seq)) for seq in range(1, 4)]
    pairs, noise = judged(*intents, entry(4, "outcome", "1", actor="x"))
    assert (len(noise), pairs.unfinished()) == (1, [2, 3])


def test_an_intent_whose_outcome_left_the_log_is_not_unfinished() -> None:
    """The intent was skipped with its segment. An outcome after the segment's end still finds it."""
    problems = Problems()
    pairs = Pairs(problems, whole=True)
    pairs.judge(entry(1, "intent", "a"), passed=True)
    pairs.judge(entry(2, "intent", "b"), passed=True)
    pairs.judge(entry(9, "outcome", "b"))
    assert (pairs.unfinished(), pairs.unfinished_count) == ([], 0)
    assert not problems.counts[Severity.NOISE]


def test_where_a_log_is_not_read_from_its_first_entry_an_outcome_may_come_first() -> None:
    """Its intent is before the entries that are read; an outcome that differs from its intent is still reported."""
    problems = Problems()
    pairs = Pairs(problems, whole=False)
    pairs.judge(entry(7, "outcome", "a"))
    assert not problems.counts[Severity.NOISE]
    pairs.judge(entry(8, "intent", "b"))
    pairs.judge(entry(9, "outcome", "b", actor="x"))
    assert problems.counts[Severity.NOISE] == 1
