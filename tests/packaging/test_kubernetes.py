"""deploy/kubernetes as kubectl renders it. tests/containers starts its pods."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from tests.kit.declarations import DEFAULT
from tests.kit.manifests import (
    EXAMPLE,
    Manifest,
    container_of,
    environment_of,
    of_kind,
    pod_templates,
    rendered,
)
from vault_etl import settings
from vault_etl.cli import main
from vault_etl.cli.needed_roles import NEEDED_ROLES, command_of
from vault_etl.declaration.iam import iam_template

pytestmark = pytest.mark.command

MODELS: Final = {
    "v1": "kubernetes.core.v1",
    "apps/v1": "kubernetes.apps.v1",
    "batch/v1": "kubernetes.batch.v1",
    "policy/v1": "kubernetes.policy.v1",
    "networking.k8s.io/v1": "kubernetes.networking.v1",
    "keda.sh/v1alpha1": "keda.v1alpha1",
    "monitoring.coreos.com/v1": "prometheus_operator.v1",
}
"""The models of the package `cloudcoil.models` by the version of the API."""
WITHOUT_A_MODEL: Final = {"external-secrets.io/v1"}
"""No package has a model of these."""
WORKLOADS: Final = {
    "vault-etl-ingest": "ingest",
    "vault-etl-status": "audit",
    "vault-etl-migrate": "owner",
    "vault-etl-schema-apply": "owner",
    "vault-etl-partitions": "owner",
    "vault-etl-rotate": "rotate",
    "vault-etl-retention": "erase",
    "vault-etl-checkpoint": "audit",
}
"""The role of each workload."""
MEASURED: Final = {"vault-etl-ingest", "vault-etl-status"}
"""They serve metrics."""
BY_A_PERSON: Final = {"vault-etl-migrate", "vault-etl-schema-apply"}
"""No timer runs these."""


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """The objects of the example."""
    return rendered(EXAMPLE)


@pytest.fixture(scope="module")
def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of each workload's pods."""
    return pod_templates(manifests)


def as_published(manifest: Manifest) -> Any:  # noqa: ANN401  # JSON
    """An object as its published model has it. Raises ValidationError for a field that the model does not have."""
    module = importlib.import_module(f"cloudcoil.models.{MODELS[manifest['apiVersion']]}")
    model = getattr(module, manifest["kind"]).model_validate(manifest, extra="forbid")
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def test_every_object_is_as_its_project_publishes_it(manifests: list[Manifest]) -> None:
    """No field is unknown, none is missing, and none is of another type, which the model would convert."""
    known = [each for each in manifests if each["apiVersion"] not in WITHOUT_A_MODEL]
    assert {each["apiVersion"] for each in known} == set(MODELS)
    for manifest in known:
        assert as_published(manifest) == manifest


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "ScaledObject", "NetworkPolicy"])
def test_an_unknown_field_is_refused(manifests: list[Manifest], kind: str) -> None:
    """A field that is spelled wrong does not pass the test above."""
    manifest = next(iter(of_kind(manifests, kind).values()))
    spelled_wrong = {**manifest, "spec": {**manifest["spec"], "spellled": 1}}
    with pytest.raises(ValidationError):
        as_published(spelled_wrong)


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


def test_selectors_select(manifests: list[Manifest], pods: dict[str, Manifest]) -> None:
    """Whatever selects pods selects those of a workload: the worker, all, or those that ask AWS."""
    for name, deployment in of_kind(manifests, "Deployment").items():
        assert selected(deployment["spec"]["selector"], pods) == {name}
    budget = of_kind(manifests, "PodDisruptionBudget")["vault-etl-ingest"]["spec"]["selector"]
    assert selected(budget, pods) == {"vault-etl-ingest"}
    monitor = of_kind(manifests, "PodMonitor")["vault-etl"]["spec"]["selector"]
    assert selected(monitor, pods) == MEASURED
    policies = {
        name: selected(each["spec"]["podSelector"], pods)
        for name, each in of_kind(manifests, "NetworkPolicy").items()
    }
    assert policies == {
        "vault-etl-nothing": set(WORKLOADS),
        "vault-etl-names": set(WORKLOADS),
        "vault-etl-postgres": set(WORKLOADS),
        "vault-etl-aws": {name for name, role in WORKLOADS.items() if role != "owner"},
        "vault-etl-metrics": MEASURED,
    }


def selected(selector: Manifest, pods: dict[str, Manifest]) -> set[str]:
    """The workloads whose pods have the labels of a selector."""
    return {
        name
        for name, template in pods.items()
        if selector["matchLabels"].items() <= template["metadata"]["labels"].items()
        and all(
            template["metadata"]["labels"][each["key"]] in each["values"]
            for each in selector.get("matchExpressions", ())
        )
    }


def test_everything_that_is_named_exists(manifests: list[Manifest]) -> None:
    """Accounts, IAM roles, the target of KEDA, and a source for each secret; and KEDA asks about our queue."""
    accounts = of_kind(manifests, "ServiceAccount")
    template = iam_template(DEFAULT)
    for name, account in accounts.items():
        annotations = account["metadata"].get("annotations", {})
        role = annotations.get("eks.amazonaws.com/role-arn", "").rpartition("/")[2]
        assert role == ("" if name == "vault-etl-owner" else name)
        assert name in {"vault-etl-owner", "vault-etl-secrets"} or f"RoleName: {role}\n" in template
    roles = {f"vault-etl-{role}" for role in WORKLOADS.values()}
    assert set(accounts) == {*roles, "vault-etl-secrets"}
    secrets = of_kind(manifests, "ExternalSecret")
    assert set(secrets) == roles
    assert {each["spec"]["target"]["name"] for each in secrets.values()} == roles
    keda = of_kind(manifests, "ScaledObject")["vault-etl-ingest"]["spec"]
    assert keda["scaleTargetRef"]["name"] in of_kind(manifests, "Deployment")
    (shared,) = [
        each["data"]
        for name, each in of_kind(manifests, "ConfigMap").items()
        if name.startswith("vault-etl-settings")
    ]
    length, age = (each["metadata"] for each in keda["triggers"])
    assert length["queueURL"] == shared["VAULT_ETL_QUEUE_URL"]
    assert age["dimensionValue"] == shared["VAULT_ETL_QUEUE_URL"].rpartition("/")[2]
    assert age["metricName"] == "ApproximateAgeOfOldestMessage"
    assert {length["awsRegion"], age["awsRegion"]} == {shared["AWS_REGION"]}


def of_components(directory: Path, *components: str) -> list[Manifest]:
    """The objects of a copy of the example with other components."""
    overlay = directory / "overlay"
    shutil.copytree(EXAMPLE, overlay)
    file = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    shared = os.path.relpath(EXAMPLE.parents[1], overlay)
    kustomization["resources"] = ["namespace.yaml", f"{shared}/base"]
    kustomization["components"] = [f"{shared}/components/{each}" for each in components]
    file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return rendered(overlay)


def test_components_can_be_left_out(tmp_path: Path) -> None:
    """The rest of the example renders without them, and has nothing of theirs."""
    kinds = {each["kind"] for each in of_components(tmp_path)}
    assert {"Deployment", "CronJob", "NetworkPolicy", "PodDisruptionBudget"} < kinds
    assert not kinds & {"ScaledObject", "TriggerAuthentication", "PodMonitor"}
    assert not kinds & {"ExternalSecret", "SecretStore"}


def test_with_tokens_of_iam_no_pod_has_a_password(tmp_path: Path) -> None:
    """The component removes the volume of the password, and lets the owner's pods ask STS."""
    manifests = of_components(tmp_path, "rds-iam")
    pods = pod_templates(manifests)
    for template in pods.values():
        loaded, _ = settings.load(environment_of(template, manifests))
        assert loaded.database_password == "rds-iam"
        mounts = {each["name"] for each in container_of(template)["volumeMounts"]}
        assert mounts == {"files", "tmp"} == {each["name"] for each in template["spec"]["volumes"]}
    policy = of_kind(manifests, "NetworkPolicy")["vault-etl-aws"]
    assert selected(policy["spec"]["podSelector"], pods) == set(WORKLOADS)


def test_nothing_is_a_secret(manifests: list[Manifest]) -> None:
    """There is no Secret, and a password is only the name of a file."""
    assert not of_kind(manifests, "Secret")
    for each in of_kind(manifests, "ConfigMap").values():
        assert not [
            value for value in each["data"].values() if re.search(r"://[^/@]*:[^/@]*@", value)
        ]
