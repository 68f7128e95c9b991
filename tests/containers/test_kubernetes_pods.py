"""The pods of deploy/kubernetes, started: they migrate, load the samples, answer probes, do their jobs, and drain."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.kit.declarations import DEFAULT_TOML
from tests.kit.kube_play import KubePlay
from tests.kit.manifests import container_of, pod_templates, rendered
from tests.kit.podman import LOCALSTACK, POSTGRES, Compose, Podman
from tests.kit.waiting import until
from vault_etl.local.processes import free_port

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

OVERLAY = Path(__file__).parent / "kubernetes"
ROLES = ("ingest", "rotate", "audit", "erase")
JOBS = ("vault-etl-partitions", "vault-etl-rotate", "vault-etl-retention")
STORED = 99


@pytest.fixture(scope="module")
def pods(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubePlay]:
    """Postgres and LocalStack with the queue and the KMS keys, a login of the owner, and no table."""
    ports = {"POSTGRES_PORT": str(free_port()), "LOCALSTACK_PORT": str(free_port())}
    images = {"POSTGRES_IMAGE": POSTGRES, "LOCALSTACK_IMAGE": LOCALSTACK}
    compose = Compose(podman, f"vault-etl-pods-{os.getpid()}", {**ports, **images})
    directory = tmp_path_factory.mktemp("pods")
    passwords = {role: secrets.token_urlsafe(16) for role in (*ROLES, "owner")}
    folders = {f"vault-etl-{role}": directory / role for role in passwords}
    for role, password in passwords.items():
        (directory / role).mkdir()
        (directory / role / "password").write_text(password, encoding="ascii")
    played = KubePlay(compose, rendered(overlay_in(directory)), folders, directory)
    try:
        compose.up(["passwords", "postgres", "localstack"], ["passwords"])
        beside(compose, "python", "keys/provision_emulator.py")
        sql(
            compose,
            f"CREATE ROLE owner LOGIN CREATEROLE PASSWORD '{passwords['owner']}';"
            "ALTER DATABASE vault_etl OWNER TO owner",
        )
        played.run("vault-etl-migrate")
        sql(
            compose,
            ";".join(
                f"CREATE ROLE {role} LOGIN PASSWORD '{passwords[role]}' IN ROLE vault_etl_{role}"
                for role in ROLES
            ),
        )
        yield played
    finally:
        played.remove()
        compose.down("--volumes", "--timeout", "0")


def overlay_in(directory: Path) -> Path:
    """A copy of the overlay, with a declaration that adds a field to the default."""
    overlay = directory / "overlay"
    overlay.mkdir()
    text = (OVERLAY / "kustomization.yaml").read_text(encoding="utf-8")
    deploy = os.path.relpath(OVERLAY.parents[2] / "deploy", overlay)
    (overlay / "kustomization.yaml").write_text(
        text.replace("../../../deploy", deploy), encoding="utf-8"
    )
    values = "[events.user_logins.personal]"
    declaration = DEFAULT_TOML + '\n[fields.email]\nkind = "email"\n'
    (overlay / "vault-etl.schema.toml").write_text(
        declaration.replace(values, f"{values}\nemail = {{}}"), encoding="utf-8"
    )
    return overlay


def sql(compose: Compose, statement: str) -> str:
    """Return the answer of the superuser's session inside the container."""
    session = ("psql", "--host=/var/run/postgresql", "--username=postgres", "--dbname=vault_etl")
    return compose.exec("postgres", *session, "-Atc", statement).strip()


def answers_its_probes(pods: KubePlay, workload: str) -> bool:
    """Ask what the probes of a workload ask."""
    container = container_of(pod_templates(pods.manifests)[workload])
    port = container["ports"][0]["containerPort"]
    asked = [
        value["httpGet"]["path"] for name, value in container.items() if name.endswith("Probe")
    ]
    return all(pods.get(workload, path, port) == 200 for path in asked)


def beside(compose: Compose, program: str, *arguments: str) -> None:
    """Run a program beside the services, with the superuser's login."""
    options = ("--rm", "--no-deps", "-T", "--entrypoint", program, "setup")
    compose.run("run", *options, *arguments)


def test_the_story_of_the_pods(pods: KubePlay) -> None:
    """One story, since each step needs the one before: keys, messages, loading, probes, jobs, the drain."""
    compose, worker = pods.compose, "vault-etl-ingest"
    pods.run("vault-etl-checkpoint")
    made = "vault-etl keys init && vault-etl local seed samples/login-events.jsonl"
    beside(compose, "sh", "-c", made)

    pods.start(worker, "vault-etl-status")
    count = "SELECT count(*) FROM vault_etl.user_logins"
    until(lambda: sql(compose, count) == str(STORED), told=lambda: pods.logs(worker), pause=0.5)
    for workload in (worker, "vault-etl-status"):
        until(
            partial(answers_its_probes, pods, workload),
            told=partial(pods.logs, workload),
            pause=0.5,
        )
    on_call = ("vault-etl", "status")
    pods.podman.run("exec", pods.container("vault-etl-status"), *on_call)

    pods.run(*JOBS)
    pods.run("vault-etl-schema-apply")
    assert sql(compose, "SELECT count(email_ciphertext) FROM vault_etl.user_logins") == "0"

    grace = pod_templates(pods.manifests)[worker]["spec"]["terminationGracePeriodSeconds"]
    pods.podman.run("stop", "--time", str(grace), pods.container(worker))
    ended = pods.podman.inspect("container", pods.container(worker))
    assert ended["State"]["ExitCode"] == 0, pods.logs(worker)


def test_a_pod_has_the_rights_that_its_manifest_says(pods: KubePlay) -> None:
    """A container that ran was not root, could not write to its image, and could gain no capability."""
    ran = pods.podman.inspect("container", pods.container("vault-etl-migrate"))
    assert ran["Config"]["User"] == "10001:10001"
    assert ran["HostConfig"]["ReadonlyRootfs"]
    assert "no-new-privileges" in json.dumps(ran["HostConfig"]["SecurityOpt"])
    assert ran["EffectiveCaps"] in ([], None)
    assert ran["BoundingCaps"] in ([], None)
