"""What docs/how-to/kubernetes.md shows: trust for pods, the way of the CSI driver, and a row for each workload."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.kit.manifests import (
    ROOT,
    WORKLOADS,
    Manifest,
    container_of,
    of_components,
    of_kind,
    pod_templates,
)
from tests.kit.pages import blocks

pytestmark = pytest.mark.command

PAGE: Final = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text(encoding="utf-8")


def shown(word: str) -> list[str]:
    """The blocks of YAML that have this word."""
    return [block for block in blocks(PAGE, "yaml") if word in block]


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_row_of_a_workload(pods: dict[str, Manifest], name: str) -> None:
    """It has the beginning of the command line, and the role."""
    (row,) = re.findall(rf"^\| `{name}` \|.*", PAGE, flags=re.MULTILINE)
    command, role = re.findall(r"`([^`]+)`", row)[1], row.rstrip("| ").rpartition(" ")[2]
    assert " ".join(container_of(pods[name])["args"]).startswith(command)
    assert role == WORKLOADS[name]


def test_trust_is_for_one_account_of_one_namespace(manifests: list[Manifest]) -> None:
    """Each statement names the cluster, the namespace and a service account of the example."""
    (namespace,) = of_kind(manifests, "Namespace")
    web, agent = (pairs for block in shown("Sid: Pod") for pairs in conditions_of(block))
    subject = next(value for key, value in web.items() if key.endswith(":sub"))
    assert next(value for key, value in web.items() if key.endswith(":aud")) == "sts.amazonaws.com"
    assert ":cluster/" in agent["aws:RequestTag/eks-cluster-arn"]
    assert agent["aws:RequestTag/kubernetes-namespace"] == namespace
    account = agent["aws:RequestTag/kubernetes-service-account"]
    assert account in of_kind(manifests, "ServiceAccount")
    assert subject == f"system:serviceaccount:{namespace}:{account}"


def conditions_of(block: str) -> list[dict[str, Any]]:
    """What each statement of a block compares."""
    return [statement["Condition"]["StringEquals"] for statement in yaml.safe_load(block)]


def test_a_volume_of_the_csi_driver_takes_the_place_of_the_secret(tmp_path: Path) -> None:
    """The class is mounted where the password is read, by the patch of the page."""
    (secret_class,) = shown("kind: SecretProviderClass")
    (patch,) = shown("csi:")
    manifests = of_components(
        tmp_path,
        files={"class.yaml": secret_class},
        patches=yaml.safe_load(patch)["patches"],
    )
    template = pod_templates(manifests)["vault-etl-ingest"]
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "password"]
    named = volume["csi"]["volumeAttributes"]["secretProviderClass"]
    found = of_kind(manifests, "SecretProviderClass")[named]
    (secret,) = yaml.safe_load(found["spec"]["parameters"]["objects"])
    assert [each["objectAlias"] for each in secret["jmesPath"]] == ["password"]
