"""The warnings of an ingest: names of dropped fields, and a queue of messages in a wrong shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.ingest.metrics.reports import report, state
from vault_etl.base import logs
from vault_etl.cli.ingest_view import WARNING_SECONDS, IngestWarnings
from vault_etl.event.rejection import Reason
from vault_etl.ingest.observer import BatchReport, Movement
from vault_etl.records.messages import Outcome


class Warned:
    """The warnings, at a time that the test sets."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.now = 100.0
        self._capsys = capsys
        self._warnings = IngestWarnings(lambda: self.now)

    def batch(self, told: BatchReport, pid: int = 1) -> list[dict[str, object]]:
        """Return the warnings of this batch."""
        self._warnings.worker(pid).batch(replace(told, extra_fields={}))
        return self._said()

    def fields(self, *names: str) -> list[object]:
        """Return the reported names of a batch that dropped these."""
        self._warnings.worker(1).batch(replace(report(1), extra_fields=dict.fromkeys(names, 1)))
        return [line["names"] for line in self._said()]

    def nothing(self) -> None:
        """Return the warnings of a batch without messages."""
        worker = self._warnings.worker(1)
        worker.moved(Movement.RECEIVED, 1_000)
        worker.state(state())
        self._warnings.worker_ended(1, 1)
        assert self._said() == []

    def _said(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]


@pytest.fixture
def warned(capsys: pytest.CaptureFixture[str]) -> Iterator[Warned]:
    """Warnings with `--quiet`, which keeps them."""
    logs.configure("json", verbose=False, quiet=True)
    yield Warned(capsys)
    logs.configure("json", verbose=False, quiet=False)


def test_each_dropped_name_is_reported_once(warned: Warned) -> None:
    """A run reports a name once, in however many batches it is dropped."""
    assert warned.fields() == []
    assert warned.fields("phone", "email") == ["email, phone"]
    assert warned.fields("email") == []
    assert warned.fields("email", "city") == ["city"]
    warned.nothing()


def test_a_sender_cannot_fill_the_log_with_names(warned: Warned) -> None:
    """A run reports a hundred names at most."""
    said = [warned.fields(f"f{chr(97 + n % 26)}{chr(97 + n // 26)}") for n in range(150)]
    assert len([names for names in said if names]) == 100


def test_a_reason_of_most_messages_is_reported(warned: Warned) -> None:
    """The warning has the reason, the counts and the command to show them; it is repeated after a minute at most."""
    bad = report(49, reasons={Reason.FIELD_MISSING: 51})
    ((line),) = warned.batch(bad)
    assert (line["level"], line["event"]) == ("warning", "most messages are quarantined")
    assert (line["reason_code"], line["quarantined"], line["messages"]) == (
        "field_missing",
        51,
        100,
    )
    assert line["hint"] == "`vault-etl quarantine list --reason-code field_missing`"
    warned.now += WARNING_SECONDS - 1
    assert warned.batch(bad) == []
    warned.now += 1
    assert len(warned.batch(bad)) == 1


@pytest.mark.parametrize(
    "quiet",
    [
        report(50, reasons={Reason.FIELD_MISSING: 50}),
        report(0, reasons={Reason.FIELD_MISSING: 50, Reason.NOT_JSON: 50}),
        report(0, reasons={Reason.FIELD_MISSING: 9}),
        report(10, retry=1_000),
        report(0, retry=1_000),
    ],
)
def test_fewer_messages_are_not_reported(warned: Warned, quiet: BatchReport) -> None:
    """Half of them, two reasons, too few messages, and uncommitted ones give no warning."""
    assert warned.batch(quiet) == []


def test_only_the_last_hundred_count(warned: Warned) -> None:
    """All workers count together: older messages do not matter, and small batches add up."""
    assert warned.batch(report(1_000)) == []
    said = [warned.batch(report(0, reasons={Reason.NOT_JSON: 2}), pid=n % 2) for n in range(60)]
    assert [n for n, lines in enumerate(said) if lines] == [49]
    known = replace(report(0), outcomes={Outcome.ALREADY_QUARANTINED: 200})
    warned.now += WARNING_SECONDS
    assert warned.batch(known) == []
