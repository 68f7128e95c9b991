"""The health check of the container image."""

from __future__ import annotations

import pytest

from tests.kit.declared import USER_LOGINS
from vault_etl.ingest.metrics import health
from vault_etl.ingest.metrics.prometheus import PrometheusMetrics
from vault_etl.ingest.metrics.server import MetricsServer

pytestmark = pytest.mark.command

VARIABLE = "VAULT_ETL_METRICS_ADDRESS"


@pytest.mark.parametrize(("reason", "code", "told"), [(None, 0, "ok\n"), ("silent", 1, "silent\n")])
def test_the_check_asks_healthz(
    reason: str | None,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It takes the answer of the ingest that listens on every interface."""
    server = MetricsServer(
        "0.0.0.0:0",
        exposition=PrometheusMetrics([USER_LOGINS]).exposition,
        ready=lambda: "starting",
        healthy=lambda: reason,
    )
    try:
        monkeypatch.setenv(VARIABLE, server.address)
        assert health.main() == code
    finally:
        server.close()
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("address", "code"), [("", 0), ("0.0.0.0:0", 0), ("9464", 1), ("127.0.0.1:9", 1)]
)
def test_addresses_that_cannot_be_asked(
    address: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No address and a port that the system chooses are healthy; a malformed or silent one says what is wrong."""
    monkeypatch.setenv(VARIABLE, address)
    assert health.main() == code
    assert bool(capsys.readouterr().out) == bool(code)
