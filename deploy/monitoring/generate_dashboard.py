#!/usr/bin/env python3
"""Writes the dashboard of Grafana, grafana/dashboards/vault-etl.json, from the rows below.

    .venv/bin/python deploy/monitoring/generate_dashboard.py

tests/monitoring/ fails while the file is stale, and runs each query against a real Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DASHBOARD: Final = Path(__file__).parent / "grafana" / "dashboards" / "vault-etl.json"
COLUMNS: Final = 24
"""The width of a dashboard, in Grafana's units."""

_HEIGHTS: Final = {"row": 1, "stat": 4, "timeseries": 8}
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its queries, each with the legend of its series."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    red: str = ""
    """Of a number: `low` shows 0 in red, `high` everything above 0."""


def number(title: str, query: str, unit: str = "short", red: str = "") -> Panel:
    """A panel with one number: the present value."""
    return Panel(title, [(query, "")], unit, "stat", red)


def rate(metric: str, by: str = "") -> str:
    """The rate a second of a counter, by labels."""
    return f"sum{f' by ({by}) ' if by else ''}(rate(vault_etl_{metric}[$__rate_interval]))"


def quantile(fraction: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram, by labels."""
    labels = f"le, {by}" if by else "le"
    inner = f"sum by ({labels}) (rate(vault_etl_{metric}_bucket[$__rate_interval]))"
    return f"histogram_quantile({fraction}, {inner})"


ROWS: Final = {
    "Now": [
        number("Workers ready", "min(vault_etl_ready)", red="low"),
        number("Oldest message", "max(vault_etl_oldest_message_age_seconds)", "s"),
        number("Visible in the queue", 'max(vault_etl_queue_messages{state="visible"})'),
        number(
            "Dead letters",
            'max(vault_etl_status_value{section="dead_letters", member="waiting"})',
            red="high",
        ),
        number("Sections that need a person", "count(vault_etl_status_ok == 0) or vector(0)", red="high"),
        number(
            "Entries of the log that are not signed",
            'max(vault_etl_status_value{section="audit_log", member="unsigned_entries"})',
        ),
    ],
    "Messages": [
        Panel(
            "Messages a second",
            [
                (rate(f"messages_{outcome}_total"), outcome.replace("_", " "))
                for outcome in ("received", "stored", "duplicate", "quarantined", "retried", "given_back")
            ],
            "cps",
        ),
        Panel("Quarantined a second", [(f"{rate('messages_quarantined_total', 'reason')} > 0", "{{reason}}")], "cps"),
        Panel("In the queue", [("max by (state) (vault_etl_queue_messages)", "{{state}}")]),
        Panel(
            "Age of messages",
            [
                ("max(vault_etl_oldest_message_age_seconds)", "oldest"),
                ("min(vault_etl_newest_message_age_seconds)", "newest"),
            ],
            "s",
        ),
    ],
    "Batches and calls": [
        Panel(
            "Time of a batch",
            [(quantile(0.5, "batch_duration_seconds"), "median"), (quantile(0.99, "batch_duration_seconds"), "p99")],
            "s",
        ),
        Panel(
            "Time of a call (p99)",
            [(quantile(0.99, "call_duration_seconds", "service, operation"), "{{service}} {{operation}}")],
            "s",
        ),
        Panel(
            "Errors of calls a second",
            [(rate("call_errors_total", "service, operation, code"), "{{service}} {{operation}} {{code}}")],
            "cps",
        ),
        Panel("Batches tried again a second", [(rate("batches_retried_total", "cause"), "{{cause}}")], "cps"),
    ],
    "Workers and keys": [
        Panel(
            "Threads",
            [("sum(vault_etl_receivers)", "receive"), ("sum(vault_etl_deleters)", "delete")],
        ),
        Panel("Held in memory", [("sum(vault_etl_held_bytes)", "bodies")], "bytes"),
        Panel("Age of the oldest active key", [
            ("max by (purpose) (vault_etl_key_age_seconds)", "{{purpose}}"),
            ("max by (purpose) (vault_etl_key_max_age_seconds) > 0", "{{purpose}}: limit"),
        ], "s"),
        Panel("Seals left under the data key", [("min by (field) (vault_etl_lease_seals_left)", "{{field}}")]),
    ],
    "State": [
        Panel("Sections of status (0: needs a person)", [("min by (section) (vault_etl_status_ok)", "{{section}}")]),
        Panel("Alerts that fire", [(
            'sum by (alertname, severity) (ALERTS{alertname=~"VaultEtl.+", alertstate="firing"})',
            "{{alertname}} ({{severity}})",
        )]),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana reads it."""
    return {
        "title": "vault-etl",
        "uid": "vault-etl",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": list(_placed()),
    }


def _placed() -> Iterator[dict[str, Any]]:
    """Every panel at its place: two time series beside each other, and all numbers of a row."""
    top, count = 0, 0
    for title, panels in ROWS.items():
        count += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": _HEIGHTS["row"]}
        yield {
            "id": count,
            "type": "row",
            "title": title,
            "gridPos": place,
            "collapsed": False,
            "panels": [],
        }
        top += _HEIGHTS["row"]
        across = len(panels) if panels[0].kind == "stat" else 2
        for position, panel in enumerate(panels):
            count += 1
            height, width = _HEIGHTS[panel.kind], COLUMNS // across
            line, column = divmod(position, across)
            place = {"x": column * width, "y": top + line * height, "w": width, "h": height}
            yield {"id": count, **_panel(panel), "gridPos": place}
        top += -(-len(panels) // across) * _HEIGHTS[panels[0].kind]


def _panel(panel: Panel) -> dict[str, Any]:
    shown: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.red:
        colors = ("red", "green") if panel.red == "low" else ("green", "red")
        steps = [{"color": colors[0], "value": None}, {"color": colors[1], "value": 1}]
        shown["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": shown, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for position, (query, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    DASHBOARD.write_text(text(), encoding="utf-8")
