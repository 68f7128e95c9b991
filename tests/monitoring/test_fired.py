"""Alerts that are fired for real: a sick vault, the real commands, Debian's Prometheus and Alertmanager.

Times are short (`tests/kit/prometheus.py`); every expression, label and text is that of deploy/monitoring.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from deploy.monitoring.generate_dashboard import DASHBOARD
from tests.kit.events import event
from tests.kit.monitoring import documented_lines, rules
from tests.kit.processes import start_with
from tests.kit.prometheus import Monitoring, monitoring
from tests.kit.vault import Vault
from tests.kit.vaults import install
from tests.kit.waiting import until
from vault_etl.local.postgres import EmbeddedPostgres
from vault_etl.local.processes import free_port
from vault_etl.local.provision import Provisioned

pytestmark = pytest.mark.system

OLDER: Final = dt.timedelta(days=400)
BACKDATE: Final = """
SET session_replication_role = replica;
UPDATE vault_etl.audit_log SET logged_at = logged_at - interval '2 days';
INSERT INTO vault_etl.key_rotations (purpose, rotation_id, fields, old_keys, began_at)
VALUES ('data', gen_random_uuid(), '{ip}', '{}', now() - interval '2 days')
"""
DROP_THE_NEXT_MONTH: Final = """
DO $$ BEGIN
    EXECUTE to_char(now() + interval '1 month', '"DROP TABLE vault_etl.user_logins_"YYYY_MM');
END $$
"""
SICK: Final = {
    "VaultEtlDeadLetters",
    "VaultEtlFieldsDropped",
    "VaultEtlHeadUnsigned",
    "VaultEtlKeyOverdue",
    "VaultEtlMonthMissing",
    "VaultEtlNearDeadLetter",
    "VaultEtlQuarantine",
    "VaultEtlRotationUnfinished",
}
OUTAGE: Final = {"VaultEtlIngestNotReady", "VaultEtlPostgresUnavailable"}
GONE: Final = {"VaultEtlIngestAbsent", "VaultEtlStatusAbsent"}


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that this test may stop."""
    server = EmbeddedPostgres(tmp_path / "postgres", durable=False)
    try:
        yield server
    finally:
        server.destroy()


@contextmanager
def running(vault: Vault, role: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command until the block ends."""
    with (vault.home / f"{role}.log").open("wb") as log, Path(os.devnull).open("r+b") as nothing:
        streams = (nothing.fileno(), nothing.fileno(), log.fileno())
        with start_with(vault, role, *args, streams=streams) as process:
            try:
                yield process
            finally:
                process.kill()


def test_a_sick_vault_is_seen_from_outside(
    own_postgres: EmbeddedPostgres, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """Symptoms of messages, keys and the log, an outage and its end, and commands that end: each alert arrives."""
    vault = Vault(own_postgres.start(), "vault_etl", *moto, tmp_path)
    install(vault)
    vault.renew_queue()
    vault.grow_older(OLDER)
    vault.sql(BACKDATE)
    poison(vault)
    worker, status = free_port(), free_port()
    with monitoring(tmp_path, {"vault-etl-ingest": worker, "vault-etl-status": status}) as seen:
        serve = ("ingest", "--follow", "--metrics-address", f"127.0.0.1:{worker}")
        watch = ("status", "--every", "1", "--metrics-address", f"127.0.0.1:{status}")
        with running(vault, "ingest", *serve), running(vault, "audit", *watch):
            until(lambda: seen.has_scraped("vault-etl-ingest"))
            until(lambda: seen.has_scraped("vault-etl-status"))
            vault.sql(DROP_THE_NEXT_MONTH)
            vault.send([*["not json"] * 20, event(region="a new field")])
            arrives(seen, SICK)

            own_postgres.stop()
            vault.send([event()])
            arrives(seen, OUTAGE)
            until(lambda: seen.alerts()["VaultEtlIngestNotReady"]["status"]["inhibitedBy"])
            assert unseen(seen) == []
            own_postgres.start()
            until(lambda: not OUTAGE & seen.alerts().keys())
        arrives(seen, GONE)
        told(seen)
    logged = [
        json.loads(line) for line in (tmp_path / "ingest.log").read_text("utf-8").splitlines()
    ]
    lines = documented_lines()
    assert {line["event"] for line in logged} >= lines.keys() - {"stopping", "worker ended"}
    for line in logged:
        level, fields = lines[line["event"]]
        assert line["level"] == level
        named = {name for name in line if not name.startswith("reason_")} | {"reason_code"} & {
            *line
        }
        assert named <= {*fields, "event", "level", "timestamp"}


def poison(vault: Vault) -> None:
    """Put a message on the queue that was received three times, and one on the dead-letter queue."""
    sqs = vault.emulator.client("sqs")
    sqs.send_message(QueueUrl=vault.provisioned.dead_letter_url, MessageBody="{}")
    vault.send([event()])
    for _ in range(3):
        sqs.receive_message(QueueUrl=vault.provisioned.queue_url, VisibilityTimeout=0)


def arrives(seen: Monitoring, names: set[str]) -> None:
    """Wait until Alertmanager has these alerts."""
    until(lambda: names <= seen.alerts().keys(), told=lambda: names - seen.alerts().keys())


def unseen(seen: Monitoring) -> list[str]:
    """The queries of the dashboard that return no series."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(queries) > 20
    return [query for query in queries if not seen.past(query.replace("$__rate_interval", "1m"))]


def told(seen: Monitoring) -> None:
    """Every text of an alert was filled in, and its link and severity are those of its rule."""
    by_name = {rule["alert"]: rule for rule in rules()}
    for name, alert in seen.alerts().items():
        rule, annotations = by_name[name], alert["annotations"]
        assert annotations["runbook_url"] == rule["annotations"]["runbook_url"]
        assert alert["labels"]["severity"] == rule["labels"]["severity"]
        for text in (annotations["summary"], annotations["description"]):
            assert "{{" not in text
            assert "no value" not in text
