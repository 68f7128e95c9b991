"""The objects of deploy/kubernetes as kubectl renders them: what is published of them, and what they name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import ValidationError

from tests.kit.declarations import DEFAULT
from tests.kit.manifests import (
    MEASURED,
    WORKLOADS,
    Manifest,
    container_of,
    environment_of,
    of_components,
    of_kind,
    pod_templates,
    selected,
)
from vault_etl import settings
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


def test_network_policies_let_through_what_is_listed(manifests: list[Manifest]) -> None:
    """One denies both directions and has no exception; each other names its peers and its ports."""
    policies = {
        name.removeprefix("vault-etl-"): each["spec"]
        for name, each in of_kind(manifests, "NetworkPolicy").items()
    }
    nothing = policies.pop("nothing")
    assert nothing.keys() == {"podSelector", "policyTypes"}
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    found = {}
    for name, spec in policies.items():
        ((direction, rules),) = (it for it in spec.items() if it[0] in {"ingress", "egress"})
        assert spec["policyTypes"] == [direction.capitalize()]
        for rule in rules:
            peers = rule["from" if direction == "ingress" else "to"]
            named = tuple("+".join(sorted(peer)) for peer in peers)
            found[name, named] = {
                tuple(each[key] for key in sorted(each, reverse=True)) for each in rule["ports"]
            }
    assert found == {
        ("names", ("namespaceSelector+podSelector",)): {("UDP", 53), ("TCP", 53)},
        ("postgres", ("ipBlock",)): {("TCP", 5432)},
        ("aws", ("ipBlock",)): {("TCP", 443)},
        ("aws", ("ipBlock", "ipBlock")): {("TCP", 80)},
        ("metrics", ("namespaceSelector",)): {("TCP", "metrics")},
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
