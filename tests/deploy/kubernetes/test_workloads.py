"""The workloads of deploy/kubernetes as kubectl renders them. tests/containers starts their pods."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from tests.kit.manifests import (
    BY_A_PERSON,
    MEASURED,
    WORKLOADS,
    Manifest,
    container_of,
    environment_of,
    of_kind,
)
from vault_etl import settings
from vault_etl.cli import main
from vault_etl.cli.needed_roles import NEEDED_ROLES, command_of

pytestmark = pytest.mark.command


def test_every_workload_is_here(pods: dict[str, Manifest]) -> None:
    """The worker, and a job for each task of a timer."""
    assert set(pods) == set(WORKLOADS)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_runs_a_command_of_its_role_alone(pods: dict[str, Manifest], name: str) -> None:
    """The command line parses; its role, service account, login and password are those of one role."""
    role, container, spec = WORKLOADS[name], container_of(pods[name]), pods[name]["spec"]
    parsed = CliRunner().invoke(main.app, [*container["args"], "--help"])
    assert parsed.exit_code == 0, parsed.output
    command = command_of(container["args"])
    if command:  # any role may run the others
        lazy = f"{command} --lazy" if "--lazy" in container["args"] else command
        assert f"vault_etl_{role}" in NEEDED_ROLES[lazy]
    assert spec["serviceAccountName"] == f"vault-etl-{role}"
    (password,) = [each["secret"] for each in spec["volumes"] if "secret" in each]
    assert password["secretName"] == f"vault-etl-{role}"
    (login,) = [each["valueFrom"] for each in container["env"] if "valueFrom" in each]
    assert login["configMapKeyRef"]["key"] == role


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_settings_of_a_workload_are_settings(
    manifests: list[Manifest], pods: dict[str, Manifest], name: str
) -> None:
    """Every variable is one that vault-etl or AWS knows, and every value is accepted. None has a password."""
    environment = environment_of(pods[name], manifests)
    assert not [each for each in environment if not each.startswith(("VAULT_ETL_", "AWS_REGION"))]
    loaded, _ = settings.load(environment)
    url = environment["VAULT_ETL_DATABASE_URL"]
    assert re.fullmatch(r"postgresql://\w+@[\w.]+/\w+\?sslmode=verify-full&sslrootcert=/\S+", url)
    mounted = [each["mountPath"] for each in container_of(pods[name])["volumeMounts"]]
    assert loaded.database_password == f"file:{mounted[0]}/password"
    assert url.rpartition("=")[2].startswith(f"{mounted[1]}/")


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_has_no_right_that_it_does_not_need(pods: dict[str, Manifest], name: str) -> None:
    """Pods pass the standard `restricted`, cannot write to their image, and get no token of the cluster."""
    spec, container = pods[name]["spec"], container_of(pods[name])
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert set(container["resources"]["limits"]) == {"memory"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    volumes = {key for each in spec["volumes"] for key in each} - {"name"}
    assert volumes == {"secret", "configMap", "emptyDir"}


def test_jobs_run_one_at_a_time_and_end(manifests: list[Manifest]) -> None:
    """No run overlaps another or is late by hours, and what another try cannot mend is tried once."""
    for name, job in of_kind(manifests, "CronJob").items():
        spec, runs = job["spec"], job["spec"]["jobTemplate"]["spec"]
        assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Forbid", 3600)
        assert spec.get("suspend", False) is (name in BY_A_PERSON)
        assert runs["activeDeadlineSeconds"]
        (rule,) = runs["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        assert not {69, 75} & set(rule["onExitCodes"]["values"])


def test_the_worker_has_the_time_that_its_drain_takes(
    manifests: list[Manifest], pods: dict[str, Manifest]
) -> None:
    """Kubernetes kills after the longest drain."""
    template = pods["vault-etl-ingest"]
    loaded, _ = settings.load(environment_of(template, manifests))
    assert template["spec"]["terminationGracePeriodSeconds"] > loaded.stop_within


@pytest.mark.parametrize("name", sorted(MEASURED))
def test_probes_ask_the_port_of_the_metrics(pods: dict[str, Manifest], name: str) -> None:
    """Liveness is not readiness: an outage of a dependency restarts no pod."""
    container = container_of(pods[name])
    (port,) = container["ports"]
    address = f"0.0.0.0:{port['containerPort']}"
    assert address in {*container["args"], *(each.get("value") for each in container["env"])}
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe in sorted(paths.keys() & container.keys()):
        asked = container[probe]["httpGet"]
        assert asked == {"path": paths[probe], "port": port["name"]}
    assert {"livenessProbe", "readinessProbe"} <= container.keys()
