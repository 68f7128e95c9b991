"""Reports and states pass a pipe as JSON, and are unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.ingest.metrics.reports import REPORTS, STATES, report, state
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement, observers


@given(REPORTS)
def test_a_report_survives_json(told: BatchReport) -> None:
    """`from_dict` of `as_dict` is the report, through a line of JSON."""
    assert BatchReport.from_dict(json.loads(json.dumps(told.as_dict()))) == told


@given(STATES)
def test_a_state_survives_json(told: IngestState) -> None:
    """`from_dict` of `as_dict` is the state, through a line of JSON."""
    assert IngestState.from_dict(json.loads(json.dumps(told.as_dict()))) == told


@pytest.mark.parametrize("broken", [{}, {"outcomes": {"eaten": 1}, "reasons": {}}])
def test_another_object_is_refused(broken: dict[str, object]) -> None:
    """An object that is not a report, or from another version, raises."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        BatchReport.from_dict(broken)


class _Told:
    def __init__(self, name: str, calls: list[tuple[str, object]]) -> None:
        self._name = name
        self._calls = calls

    def moved(self, movement: Movement, messages: int) -> None:
        self._calls.append((self._name, (movement, messages)))

    def batch(self, report: BatchReport) -> None:
        self._calls.append((self._name, report))

    def state(self, state: IngestState) -> None:
        self._calls.append((self._name, state))


def test_several_observers_get_the_same_reports() -> None:
    """Each gets every report, in order; a single observer is returned itself."""
    calls: list[tuple[str, object]] = []
    first: IngestObserver = _Told("first", calls)
    both = observers(first, _Told("second", calls))
    both.moved(Movement.DELETED, 3)
    both.batch(report(stored=1))
    both.state(state())
    told = [(Movement.DELETED, 3), report(stored=1), state()]
    assert calls == [(name, what) for what in told for name in ("first", "second")]
    assert observers(first) is first
