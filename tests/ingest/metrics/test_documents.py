"""docs/metrics.md names every metric, and the rules of deploy/monitoring use no other; each alert has a section."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from tests.kit.monitoring import rules
from vault_etl.doctor.diagnose import Finding, Verdict
from vault_etl.doctor.prometheus import Sections
from vault_etl.ingest.metrics.prometheus import Families
from vault_etl.ingest.metrics.workers import WorkerMetrics

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGE: Final = (DOCS / "metrics.md").read_text(encoding="utf-8")
RUNBOOKS: Final = "https://docs.example/vault-etl/operations/runbooks.html"
ROW: Final = re.compile(
    r"^\| `(vault_etl_\w+)` \| (counter|gauge|histogram) \|([^|]*)\| ([^|]+) \| ([^|]+) \|$",
    re.MULTILINE,
)
UNITS: Final = {"seconds", "bytes", "messages"}

Facts = dict[str, tuple[str, frozenset[str]]]
"""From a metric's name, as it is queried, to its type and labels."""


def families(registry: CollectorRegistry, holder: object) -> Facts:
    """Return the metrics of the code: `holder` keeps them as attributes."""
    described = {family.name: family for family in registry.collect()}
    found = {}
    for metric in vars(holder).values():
        if isinstance(metric, MetricWrapperBase):
            name, labels = metric._name, frozenset(metric._labelnames)
            suffix = "_total" if metric._type == "counter" else ""
            assert described[name].type == metric._type
            found[name + suffix] = (metric._type, labels)
    assert len(found) == len(described)
    return found


def of_status() -> Facts:
    """Return the metrics of `status`."""
    sections = Sections(dt.datetime.now(dt.UTC))
    sections.replace((Finding("a", Verdict.good("", number=1)),), dt.datetime.now(dt.UTC))
    families = list(sections.collect())
    return {each.name: (each.type, frozenset(each.samples[0].labels)) for each in families}


@pytest.fixture(scope="module")
def code() -> Facts:
    """Every metric of a process, of the parent of workers, and of `status`."""
    registry = CollectorRegistry()
    found = families(registry, Families(registry))
    parent = WorkerMetrics()
    found |= families(parent._registry, parent) | of_status()
    parent.close()
    return found


def rows() -> Facts:
    """Return every metric of the page."""
    return {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _unit, _meaning in ROW.findall(PAGE)
    }


def test_the_page_has_the_metrics_of_the_code(code: Facts) -> None:
    """Names, types and labels agree, both ways."""
    assert rows() == code


def test_every_row_of_the_page_is_read() -> None:
    """The comparison skips no row of a metric, and no row is repeated."""
    begun = re.findall(
        r"^\| `(vault_etl_\w+)` \| (?:counter|gauge|histogram|summary)", PAGE, re.MULTILINE
    )
    assert len(begun) == len(set(begun)) == len(rows())


def test_names_follow_the_conventions(code: Facts) -> None:
    """Base units, `_total` for counters only, one prefix (prometheus.io, metric and label naming)."""
    for name, (kind, _labels) in code.items():
        assert re.fullmatch(r"vault_etl_[a-z]+(_[a-z]+)*", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|millis|milliseconds|minutes|hours|kib|mib|kb|mb|percent)", name)
    for name, kind, _labels, unit, _meaning in ROW.findall(PAGE):
        if unit in UNITS and kind != "counter":
            assert unit in name, name


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_uses_existing_metrics(rule: dict[str, Any], code: Facts) -> None:
    """The metrics and the labels of a rule exist, and its texts use labels that its result has."""
    expression = str(rule["expr"])
    names = re.findall(r"vault_etl_\w+", expression)
    assert names
    known: set[str] = set()
    for name in names:
        base = name.removesuffix("_bucket")
        assert base in code, name
        kind, labels = code[base]
        assert (kind == "histogram") == (base != name)
        known |= labels | ({"le"} if kind == "histogram" else set())
    selected = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression)
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    assert {*selected, *(word.strip() for g in grouped for word in g.split(","))} <= known
    shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert shown <= {word.strip() for g in grouped for word in g.split(",")}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """It has a severity, texts of one line, and a link to a section of the runbooks."""
    annotations = rule["annotations"]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert all(text and "\n" not in text for text in annotations.values())
    page, _, anchor = annotations["runbook_url"].partition("#")
    assert page == RUNBOOKS
    headings = re.findall(r"^## (.+)$", page_of("runbooks"), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_page_of_alerts_is_the_rules() -> None:
    """A row for each rule, in their order: severity, time, runbook."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([^|]+) \| [^|]+ \| \[[^\]]+\]\(runbooks\.md#([\w-]+)\) \|$",
        page_of("monitoring"),
        re.MULTILINE,
    )
    assert rows == [
        (
            rule["alert"],
            rule["labels"]["severity"],
            waits(rule),
            rule["annotations"]["runbook_url"].partition("#")[2],
        )
        for rule in rules()
    ]


def page_of(name: str) -> str:
    """The text of a page of docs/operations."""
    return (DOCS / "operations" / f"{name}.md").read_text(encoding="utf-8")


def waits(rule: dict[str, Any]) -> str:
    """The time of a rule, as the page says it."""
    found = re.fullmatch(r"(\d+)([hm])", rule.get("for", ""))
    return f"{found[1]} {'h' if found[2] == 'h' else 'min'}" if found else "at once"
