"""`docker-compose.yml` as a real implementation reads it. tests/containers starts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.monitoring import FOLDER
from vault_etl.platform.aws import SHORTEST_ACCESS_KEY_ID
from vault_etl.settings.model import Settings

pytestmark = pytest.mark.command

ROOT = Path(__file__).parents[2]
SERVERS = ("postgres", "localstack")
WATCHERS = ("prometheus", "alertmanager", "grafana")
OURS = ("passwords", "setup", "worker", "status")
MONITORING = ("status", *WATCHERS)
PINNED = re.compile(r"^[a-z/]+:v?[0-9][0-9.]*@sha256:[0-9a-f]{64}$")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file with all profiles, as podman-compose resolves it. It asks podman for its version, and for no more."""
    programs = tmp_path_factory.mktemp("bin")
    podman = programs / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.0.0\n", encoding="utf-8")
    podman.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "podman_compose", "--profile", "monitoring", "config"],
        cwd=ROOT,
        env={"PATH": f"{programs}:{os.defpath}", "HOME": str(programs)},
        capture_output=True,
        text=True,
        check=True,
    )
    resolved: dict[str, Any] = yaml.safe_load(done.stdout)
    return resolved


def test_a_real_compose_implementation_takes_the_file(compose: dict[str, Any]) -> None:
    """podman-compose resolves it to these services, and to no other; those that watch wait for their profile."""
    services = compose["services"]
    assert set(services) == {*SERVERS, *WATCHERS, *OURS}
    assert {name for name, it in services.items() if it.get("profiles") == ["monitoring"]} == {
        *MONITORING
    }


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [p for service in compose["services"].values() for p in service.get("ports", [])]
    assert len(ports) == 5
    assert all(_published(port).startswith("127.0.0.1") for port in ports)


def test_what_watches_reaches_the_metrics_alone(compose: dict[str, Any]) -> None:
    """Postgres, and LocalStack, whose KMS asks for no permission, are on another network."""
    on = {name: set(it.get("networks", ["default"])) for name, it in compose["services"].items()}
    assert {name for name, networks in on.items() if "monitoring" in networks} == {
        *WATCHERS,
        "worker",
        "status",
    }
    assert {name for name, networks in on.items() if "default" not in networks} == {*WATCHERS}


def test_images_are_pinned_and_watched(compose: dict[str, Any]) -> None:
    """Each image has a version and its digest, and each server a health check, for which others wait."""
    services = compose["services"]
    for name in (*SERVERS, *WATCHERS):
        assert PINNED.match(services[name]["image"])
        assert services[name]["healthcheck"]["test"]
    for name in SERVERS:
        assert services["setup"]["depends_on"][name]["condition"] == "service_healthy"
    waits = services["worker"]["depends_on"]["setup"]["condition"]
    assert waits == "service_completed_successfully"


def test_the_services_of_ours_run_the_demo_s_image(compose: dict[str, Any]) -> None:
    """Our services need the embedded stack's packages, which the production image is without."""
    for name in OURS:
        assert compose["services"][name]["build"]["target"] == "demo"


def test_the_file_has_no_secret(compose: dict[str, Any]) -> None:
    """Passwords are in files of volumes; the access key is one that AWS cannot have issued."""
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or str(value).removeprefix("file:").startswith("/")
            assert "PASSWORD" in name or not re.search(r"://[^/@]*:[^/@]*@", str(value))


def test_every_service_has_limits(compose: dict[str, Any]) -> None:
    """Memory and processes are bounded, and no process gains rights; what can be read-only is."""
    for name, service in compose["services"].items():
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert name == "localstack" or (service["read_only"] and service["cap_drop"] == ["ALL"])


def test_the_worker_has_the_time_that_its_drain_takes(compose: dict[str, Any]) -> None:
    """Docker waits longer than the longest drain of ingest, before it kills."""
    grace = compose["services"]["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings().stop_within


def test_what_doctor_says_of_the_endpoint_is_a_warning(compose: dict[str, Any]) -> None:
    """The endpoint is plain text to another container, with an access key that AWS cannot have issued."""
    for name in ("setup", "worker", "status"):
        environment = compose["services"][name]["environment"]
        assert environment["AWS_ENDPOINT_URL"].startswith("http://localstack:")
        assert len(environment["AWS_ACCESS_KEY_ID"]) < SHORTEST_ACCESS_KEY_ID


def test_the_services_are_scraped_and_asked_at_their_addresses(compose: dict[str, Any]) -> None:
    """prometheus.yml names the services with their ports, and Grafana's source names Prometheus."""
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in configuration["scrape_configs"]
    }
    services = compose["services"]
    for job, service in (("vault-etl-ingest", "worker"), ("vault-etl-status", "status")):
        address = services[service]["environment"]["VAULT_ETL_METRICS_ADDRESS"]
        assert jobs.pop(job) == [f"{service}:{address.rpartition(':')[2]}"]
    assert not jobs
    assert "grafana/dashboards:/etc/grafana/dashboards" in str(services["grafana"]["volumes"])


def _published(port: object) -> str:
    return str(port["host_ip"]) if isinstance(port, dict) else str(port)
