"""docs/operations/logs.md: its lines are those that an ingest writes, and its queries use no other field."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest

from tests.ingest.metrics.reports import report, state
from tests.kit.monitoring import LOGS, documented_lines
from tests.kit.pages import blocks
from vault_etl.base import logs
from vault_etl.cli.ingest_view import IngestWarnings, LoggedIngest
from vault_etl.event.rejection import Reason

PAGE: Final = LOGS.read_text("utf-8")
COMMON: Final = {"event", "level", "timestamp"}
WORDS: Final = {
    *("filter", "stats", "count", "max", "pct", "sum", "by", "bin", "and", "or", "in"),
    *("display", "sort", "desc", "app", "json", "unwrap", "line_format"),
    *("count_over_time", "max_over_time", "sum_over_time", "quantile_over_time"),
}
"""Words of the languages of queries."""


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> dict[str, set[str]]:
    """The fields of each event that an ingest logs, as its classes write them."""
    logs.configure("json", verbose=False, quiet=False)
    view, warnings = LoggedIngest(), IngestWarnings()
    worker = view.worker(4711)
    logs.get_logger().info("metrics", address="127.0.0.1:9464")
    worker.state(state())
    worker.state(state(ready=False, unavailable="postgres: unavailable"))
    worker.state(state(ready=False))
    poisoned = report(
        1, 0, 1, reasons={Reason.NOT_JSON: 20}, cause="unavailable", max_receive_count=3
    )
    for observer in (worker, warnings):
        observer.batch(poisoned)
    view.worker_ended(4711, -9)
    found: dict[str, set[str]] = {}
    for line in map(json.loads, capsys.readouterr().err.splitlines()):
        found.setdefault(line["event"], set()).update(line)
        assert line["level"] == documented_lines()[line["event"]][0]
    return found


def test_the_table_has_the_fields_of_each_line(written: dict[str, set[str]]) -> None:
    """Both ways, but for the reasons, of which only those that occurred are in a line."""
    assert {event: fields for event, (_, fields) in documented_lines().items()} == {
        event: fields - COMMON - {"reason_not_json"} for event, fields in written.items()
    }


def test_the_sample_line_has_the_fields_of_a_batch(written: dict[str, set[str]]) -> None:
    """A batch without a cause."""
    (sample,) = blocks(PAGE, "json")
    assert set(json.loads(sample)) == written["batch"] - {"cause"}


def queries() -> list[str]:
    """Each query of the page, on one line."""
    texts = blocks(PAGE, "text")
    lines = [line for text in texts for line in text.splitlines() if line and line[0] != "#"]
    kibana = re.findall(r"^\| [^|]+ \| (`vault_etl\..+) \|$", PAGE, re.MULTILINE)
    return lines + [row.replace("vault_etl.", "") for row in kibana]


def test_every_symptom_has_a_query_for_each_system() -> None:
    """Nine symptoms, and one of Loki that takes two queries."""
    assert len(queries()) == 9 + 10 + 9


@pytest.mark.parametrize("query", queries())
def test_a_query_names_events_and_fields_that_are_written(
    query: str, written: dict[str, set[str]]
) -> None:
    """A query of an event uses fields of that event; one of all events uses common fields, and the hint."""
    events = re.findall(r'event ?(?:=|:) ?"([^"]+)"', query)
    fields = {name for event in events for name in written[event]} if events else COMMON | {"hint"}
    query, *kibana = query.split("`, ", maxsplit=1)
    told = re.findall(r"`(\w+)`", " ".join(kibana)) + re.findall(r"\{\{\.(\w+)\}\}", query)
    bare = re.sub(r'"[^"]*"|\[\d+\w\]|\d+(\.\d+)?m?', " ", query)
    assert {*re.findall(r"[a-z_]\w*", bare), *told} - WORDS <= fields
