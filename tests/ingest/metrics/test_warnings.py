"""What an ingest warns of: names of dropped fields, and a pipe of the wrong shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from tests.ingest.metrics.reports import report, state
from vault_etl.base import logs
from vault_etl.cli.ingest_view import WARNING_SECONDS, IngestWarnings
from vault_etl.event.rejection import Reason
from vault_etl.ingest.observer import BatchReport, Movement
from vault_etl.records.messages import Outcome


class Warned:
    """The warnings, at a time of the test's own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.now = 100.0
        self._capsys = capsys
        self._warnings = IngestWarnings(lambda: self.now)

    def batch(self, told: BatchReport, pid: int = 1) -> list[dict[str, object]]:
        """What is said of this batch."""
        self._warnings.worker(pid).batch(replace(told, extra_fields={}))
        return self._said()

    def fields(self, *names: str) -> list[object]:
        """Which names are said of a batch that lost these."""
        self._warnings.worker(1).batch(replace(report(1), extra_fields=dict.fromkeys(names, 1)))
        return [line["names"] for line in self._said()]

    def nothing(self) -> None:
        """What is no batch is nothing to warn of."""
        worker = self._warnings.worker(1)
        worker.moved(Movement.RECEIVED, 1_000)
        worker.state(state())
        self._warnings.worker_ended(1, 1)
        assert self._said() == []

    def _said(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._capsys.readouterr().err.splitlines()]


@pytest.fixture
def warned(capsys: pytest.CaptureFixture[str]) -> Iterator[Warned]:
    """With `--quiet`, which leaves the warnings."""
    logs.configure("json", verbose=False, quiet=True)
    yield Warned(capsys)
    structlog.reset_defaults()


def test_each_name_is_said_once(warned: Warned) -> None:
    """In a run, however many batches lose it."""
    assert warned.fields() == []
    assert warned.fields("phone", "email") == ["email, phone"]
    assert warned.fields("email") == []
    assert warned.fields("email", "city") == ["city"]
    warned.nothing()


def test_a_sender_cannot_fill_the_log_with_names(warned: Warned) -> None:
    """A hundred in a run."""
    said = [warned.fields(f"f{chr(97 + n % 26)}{chr(97 + n // 26)}") for n in range(150)]
    assert len([names for names in said if names]) == 100


def test_most_messages_of_one_reason_are_said(warned: Warned) -> None:
    """The reason, the counts, and how to look at them; again after a minute, and not before."""
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
def test_less_is_not_said(warned: Warned, quiet: BatchReport) -> None:
    """Half of them, two reasons, too few to say, and what is not committed yet."""
    assert warned.batch(quiet) == []


def test_only_the_last_hundred_count(warned: Warned) -> None:
    """Of all workers together: what was good an hour ago says nothing, and small batches add up."""
    assert warned.batch(report(1_000)) == []
    said = [warned.batch(report(0, reasons={Reason.NOT_JSON: 2}), pid=n % 2) for n in range(60)]
    assert [n for n, lines in enumerate(said) if lines] == [49]
    known = replace(report(0), outcomes={Outcome.ALREADY_QUARANTINED: 200})
    warned.now += WARNING_SECONDS
    assert warned.batch(known) == []
