"""`status` as metrics: the sections that were read last, served to Prometheus until `close`.

A section that the role may not see, or that rests on a failed one, has no sample. Texts are not served: only the
verdicts and the numbers of the sections. This module imports prometheus_client (45 ms): import it only to serve.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from vault_etl.doctor.diagnose import Finding
from vault_etl.ingest.metrics.prometheus import PREFIX, expose
from vault_etl.ingest.metrics.server import MetricsServer

SILENT_AFTER: Final = dt.timedelta(minutes=10)
"""`/healthz` fails if the sections were read longer ago: a read takes seconds, even in an outage."""


class ServedStatus:
    """Serves the findings of the last `show` at an address. `/readyz` answers 200 from the first one on.

    Raises ConfigurationError if the server cannot listen on the address.
    """

    def __init__(self, address: str, now: Callable[[], dt.datetime]) -> None:
        self._now = now
        self._sections = Sections(now())
        registry = CollectorRegistry()
        registry.register(self._sections)
        self._server = MetricsServer(
            address,
            exposition=lambda accept: expose(registry, accept),
            ready=lambda: None if self._sections.findings else "starting",
            healthy=self._healthy,
        )
        self.address = self._server.address

    def show(self, findings: Iterable[Finding]) -> None:
        """Replace what is served, once all findings are there."""
        self._sections.replace(tuple(findings), self._now())

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _healthy(self) -> str | None:
        return "silent" if self._now() - self._sections.read_at > SILENT_AFTER else None


class Sections(Collector):
    """The metrics of the findings that were read last. Before the first ones there are none."""

    def __init__(self, began_at: dt.datetime) -> None:
        self._read: tuple[tuple[Finding, ...], dt.datetime] = (), began_at

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings; empty before the first read."""
        return self._read[0]

    @property
    def read_at(self) -> dt.datetime:
        """The time of the last read, or of the beginning."""
        return self._read[1]

    def replace(self, findings: tuple[Finding, ...], at: dt.datetime) -> None:
        """Take the findings of a read."""
        self._read = findings, at

    @override
    def collect(self) -> Iterator[Metric]:
        findings, read_at = self._read
        ok = GaugeMetricFamily(
            f"{PREFIX}_status_ok", "0: a section needs a person.", labels=["section"]
        )
        values = GaugeMetricFamily(
            f"{PREFIX}_status_value", "A number of a section.", labels=["section", "member"]
        )
        time = GaugeMetricFamily(
            f"{PREFIX}_status_read_timestamp_seconds", "When the sections were read last."
        )
        for finding in findings:
            verdict = finding.verdict
            if verdict.ok is not None:
                ok.add_metric([finding.check], verdict.ok)
            for member, number in verdict.values.items():
                if isinstance(number, int | float):
                    values.add_metric([finding.check, member], number)
        if findings:
            time.add_metric([], read_at.timestamp())
        yield from (ok, values, time)
