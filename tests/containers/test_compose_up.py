"""docker-compose.yml, started: the samples are loaded, a second start changes nothing, and `down` loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit import prometheus
from tests.kit.podman import ALERTMANAGER, LOCALSTACK, POSTGRES, PROMETHEUS, Compose, Podman
from tests.kit.waiting import until
from vault_etl.local.processes import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

ORDER = ("passwords", "postgres", "localstack", "setup", "worker")
ENDS = ("passwords", "setup")
MONITORING = ("status", "alertmanager", "prometheus")
"""Without Grafana, which no test can get."""
STORED = 99
DRAIN_SECONDS = 35


@pytest.fixture(scope="module")
def compose(podman: Podman) -> Iterator[Compose]:
    """The services, which have run once."""
    images = {
        "POSTGRES_IMAGE": POSTGRES,
        "LOCALSTACK_IMAGE": LOCALSTACK,
        "PROMETHEUS_IMAGE": PROMETHEUS,
        "ALERTMANAGER_IMAGE": ALERTMANAGER,
    }
    ports = {name.replace("IMAGE", "PORT"): str(free_port()) for name in images}
    project = Compose(podman, f"vault-etl-test-{os.getpid()}", {**ports, **images})
    try:
        project.up(ORDER, ENDS)
        yield project
    finally:
        project.down("--volumes", "--timeout", "0")


def sql(compose: Compose, statement: str) -> str:
    """Return the answer of the superuser's session inside the container."""
    session = ("psql", "--host=/var/run/postgresql", "--username=postgres", "--dbname=vault_etl")
    return compose.exec("postgres", *session, "-Atc", statement).strip()


def command(compose: Compose, service: str, *arguments: str) -> str:
    """Run a command beside the services, with the settings and volumes of one of them."""
    options = ("--rm", "--no-deps", "-T", "--entrypoint", "vault-etl", service)
    return compose.run("run", *options, *arguments).stdout


def stored(compose: Compose) -> int:
    """Count the records."""
    return int(sql(compose, "SELECT count(*) FROM vault_etl.user_logins"))


def test_the_story_of_the_services(compose: Compose) -> None:
    """One story, since each step needs the one before: load, start again, stop, remove, come back, reveal."""
    until(lambda: stored(compose) == STORED, told=lambda: compose.logs("worker"))
    assert sql(compose, "SELECT count(*) FROM vault_etl.quarantine") == "1"
    before = sql(compose, "SELECT max(seq) FROM vault_etl.audit_log")

    compose.up(["setup"], ENDS)
    assert '{"sent": 100}' not in compose.logs("setup").rpartition('{"applied": []}')[2]
    assert (stored(compose), sql(compose, "SELECT max(seq) FROM vault_etl.audit_log")) == (
        STORED,
        before,
    )

    probe = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9464/readyz').status)"
    until(lambda: compose.is_healthy("worker"))
    assert compose.exec("worker", "python", "-c", probe).strip() == "200"

    worker = compose.container("worker")
    compose.podman.run("stop", "--time", str(DRAIN_SECONDS), worker)
    assert compose.podman.inspect("container", worker)["State"]["ExitCode"] == 0
    assert json.loads(compose.logs("worker").strip().splitlines()[-1])["level"] == "info"

    compose.down()
    compose.up(ORDER, ENDS)
    compose.start(*MONITORING)  # their own test is the next, and they need half a minute
    assert stored(compose) == STORED
    record = sql(compose, "SELECT record_id FROM vault_etl.user_logins LIMIT 1")
    revealed = json.loads(command(compose, "setup", "reveal", record, "--reason", "drill"))
    assert set(revealed["fields"]) == {"ip", "device_id"}
    command(compose, "setup", "audit", "verify")
    for service in ("setup", "worker"):  # the guards of the database are whole, by either login
        checks = [json.loads(line) for line in command(compose, service, "doctor").splitlines()]
        assert len(checks) > 1
        assert not [check for check in checks if check["ok"] is False]


def test_the_profile_monitoring_sees_the_others(compose: Compose) -> None:
    """Prometheus reads the files of deploy/monitoring, scrapes both processes, and finds Alertmanager.

    It does not find Postgres and LocalStack. SIGTERM ends status, which is the first process of its container.
    """

    def asked(expression: str) -> list[Any]:
        query = ("promtool", "query", "instant", "--format=json", "http://127.0.0.1:9090")
        found: list[Any] = json.loads(compose.exec("prometheus", *query, expression))
        return found

    compose.up(MONITORING, ())
    until(lambda: len(asked('up{job=~"vault-etl-(ingest|status)"} == 1')) == 2, pause=1)
    seen = {series["metric"]["section"] for series in asked("vault_etl_status_ok")}
    assert {"queue", "postgres", "audit_log", "partitions"} <= seen
    port = int(compose.environment["PROMETHEUS_PORT"])
    groups = prometheus.get(port, "/api/v1/rules")["data"]["groups"]
    assert [group["name"] for group in groups] == ["vault-etl-ingest", "vault-etl-status"]
    (found,) = prometheus.get(port, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert found["url"] == "http://alertmanager:9093/api/v2/alerts"
    others = ("worker", "status", "postgres", "localstack")
    asking = "for name; do getent hosts $name > /dev/null && echo $name; done; true"
    names = compose.exec("prometheus", "sh", "-c", asking, "-", *others).split()
    assert names == ["worker", "status"]

    status = compose.container("status")
    compose.podman.run("stop", "--time", str(DRAIN_SECONDS), status)
    assert compose.podman.inspect("container", status)["State"]["ExitCode"] == 0


def test_no_service_has_more_rights_than_it_needs(compose: Compose) -> None:
    """Ours and Postgres cannot write outside their volumes, and the worker can gain no capability."""
    for service in ("postgres", "worker", *MONITORING):
        host = compose.podman.inspect("container", compose.container(service))["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert "no-new-privileges" in json.dumps(host["SecurityOpt"])
    assert compose.exec("worker", "id", "-u").strip() == "10001"
    status = compose.exec("worker", "cat", "/proc/self/status")
    (line,) = [each for each in status.splitlines() if each.startswith("CapBnd:")]
    assert int(line.split()[1], 16) == 0


def test_the_files_of_a_service_are_its_own(compose: Compose) -> None:
    """The worker sees its own password, and neither that of the superuser nor the keys."""
    seen = compose.exec("worker", "find", "/var/lib/vault-etl", "-type", "f").split()
    assert seen == ["/var/lib/vault-etl/worker/password"]
