"""docs/metrics.md and the example rules name every metric, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from vault_etl.ingest.metrics.prometheus import Families
from vault_etl.ingest.metrics.workers import WorkerMetrics

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGE: Final = (DOCS / "metrics.md").read_text(encoding="utf-8")
RULES: Final = yaml.safe_load((DOCS / "alerts.example.yaml").read_text(encoding="utf-8"))
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


@pytest.fixture(scope="module")
def code() -> Facts:
    """Every metric of a process, and of the parent of workers."""
    registry = CollectorRegistry()
    found = families(registry, Families(registry))
    parent = WorkerMetrics()
    found |= families(parent._registry, parent)
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


@pytest.mark.parametrize(
    "rule", [rule for group in RULES["groups"] for rule in group["rules"]], ids=lambda r: r["alert"]
)
def test_a_rule_uses_existing_metrics(rule: dict[str, object], code: Facts) -> None:
    """The metrics and the labels of a rule exist, and the rule has a description."""
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
    assert expression.count("(") == expression.count(")")
    annotations = rule["annotations"]
    assert isinstance(annotations, dict)
    shown = set(re.findall(r"\$labels\.(\w+)", annotations["summary"]))
    assert shown <= {word.strip() for g in grouped for word in g.split(",")}
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_every_alert_of_the_page_has_a_rule() -> None:
    """Each metric under "What to alert on" is in a rule."""
    section = PAGE.split("## What to alert on")[1]
    asked = {
        name
        for group in RULES["groups"]
        for rule in group["rules"]
        for name in re.findall(r"vault_etl_\w+", rule["expr"])
    }
    assert set(re.findall(r"vault_etl_\w+", section)) <= asked
