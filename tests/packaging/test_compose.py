"""`docker-compose.yml` without Docker: parsed by a real implementation, and its commands run on the host."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.databases import admin
from vault_etl.local.emulator import Emulator
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.platform.aws import SHORTEST_ACCESS_KEY_ID

pytestmark = pytest.mark.command

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^[a-z/]+:[0-9][0-9.]*@sha256:[0-9a-f]{64}$")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The file as podman-compose resolves it. It asks for podman's version first, and for no more."""
    programs = tmp_path_factory.mktemp("bin")
    podman = programs / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.0.0\n", encoding="utf-8")
    podman.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "podman_compose", "config"],
        cwd=ROOT,
        env={"PATH": f"{programs}:{os.defpath}", "HOME": str(programs)},
        capture_output=True,
        text=True,
        check=True,
    )
    resolved: dict[str, Any] = yaml.safe_load(done.stdout)
    return resolved


@pytest.fixture(scope="module")
def postgres_of_compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    """A server as the Postgres image makes it: empty, but for what it runs at its first start."""
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("compose-postgres"), durable=False)
    try:
        running = embedded.start()
        with admin(running, "postgres") as cursor:
            cursor.execute("CREATE ROLE postgres SUPERUSER LOGIN PASSWORD 'owner'")
            cursor.execute((ROOT / "docker" / "logins.sql").read_text(encoding="utf-8"))
        yield running
    finally:
        embedded.destroy()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The working directory of the demo's image, as far as the Dockerfile copies files into it."""
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for line in dockerfile.partition(" AS demo")[2].partition("FROM ")[0].splitlines():
        if line.startswith("COPY "):
            *sources, target = shlex.split(line)[1:]
            for source in sources:
                place = tmp_path / (f"{target}{source}" if target.endswith("/") else target)
                place.parent.mkdir(parents=True, exist_ok=True)
                assert (ROOT / source).exists()
                place.symlink_to(ROOT / source)
    return tmp_path


def test_a_real_compose_implementation_takes_the_file(compose: dict[str, Any]) -> None:
    """podman-compose resolves it to the four services, and to no other."""
    assert set(compose["services"]) == {"postgres", "localstack", "setup", "worker"}


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    """Every published port is bound to 127.0.0.1."""
    ports = [p for service in compose["services"].values() for p in service.get("ports", [])]
    assert len(ports) == 2
    assert all(_published(port).startswith("127.0.0.1") for port in ports)


def test_images_are_pinned_and_watched(compose: dict[str, Any]) -> None:
    """Each image has a version and its digest, and each server a health check that others wait for."""
    services = compose["services"]
    for name in ("postgres", "localstack"):
        assert PINNED.match(services[name]["image"])
        assert services[name]["healthcheck"]["test"]
        assert services["setup"]["depends_on"][name]["condition"] == "service_healthy"
    waits = services["worker"]["depends_on"]["setup"]["condition"]
    assert waits == "service_completed_successfully"


def test_the_services_of_ours_run_the_demo_s_image(compose: dict[str, Any]) -> None:
    """Our services need the embedded stack's packages, which the production image is without."""
    for name in ("setup", "worker"):
        assert compose["services"][name]["build"]["target"] == "demo"


@pytest.mark.endurance  # a LocalStack and a Postgres of their own
def test_the_commands_do_the_job(
    compose: dict[str, Any],
    postgres_of_compose: RunningPostgres,
    localstack: Emulator,
    app: Path,
) -> None:
    """Its commands, in its order and environment, load the samples: 99 stored, 1 quarantined."""
    services = compose["services"]
    addresses = {
        "postgres:5432": f"127.0.0.1:{postgres_of_compose.port}",
        "localstack:4566": localstack.endpoint.removeprefix("http://"),
    }
    setup = services["setup"]
    _run([*setup["entrypoint"], *setup["command"]], setup, addresses, app)
    worker = services["worker"]
    done = _run(["vault-etl", *worker["command"]], worker, addresses, app)
    summary = json.loads(done.stdout)
    assert (summary["stored"], summary["quarantined"], summary["deleted"]) == (99, 1, 100)
    assert (summary["left_in_flight"], summary["left_delayed"]) == (0, 0)
    for service in (setup, worker):  # the guards are whole, by the roles of docker/logins.sql too
        checks = _run(["vault-etl", "doctor"], service, addresses, app).stdout.splitlines()
        assert not [line for line in checks if json.loads(line)["ok"] is False]


def test_what_doctor_says_of_the_endpoint_is_a_warning(compose: dict[str, Any]) -> None:
    """The endpoint is plain text to another container, with an access key that AWS cannot have issued."""
    for name in ("setup", "worker"):
        environment = compose["services"][name]["environment"]
        assert environment["AWS_ENDPOINT_URL"].startswith("http://localstack:")
        assert len(environment["AWS_ACCESS_KEY_ID"]) < SHORTEST_ACCESS_KEY_ID


def _run(
    command: list[str], service: dict[str, Any], addresses: dict[str, str], app: Path
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": str(app)}
    for name, value in service["environment"].items():
        for container, host in addresses.items():
            value = str(value).replace(container, host)  # noqa: PLW2901
        environment[name] = value
    done = subprocess.run(
        command, cwd=app, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def _published(port: object) -> str:
    return str(port["host_ip"]) if isinstance(port, dict) else str(port)
