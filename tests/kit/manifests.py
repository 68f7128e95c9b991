"""deploy/kubernetes: its objects as `kubectl kustomize` renders them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "deploy" / "kubernetes" / "overlays" / "example"

Manifest = dict[str, Any]

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


def rendered(overlay: Path) -> list[Manifest]:
    """The objects of an overlay. The kubectl of this environment renders it, or that of the PATH."""
    kubectl = shutil.which("kubectl", path=sysconfig.get_path("scripts")) or shutil.which("kubectl")
    assert kubectl, "kubectl is neither in this environment nor on the PATH"
    done = subprocess.run([kubectl, "kustomize", str(overlay)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def of_components(
    directory: Path,
    *components: str,
    files: Mapping[str, str] | None = None,
    patches: Sequence[Manifest] = (),
) -> list[Manifest]:
    """The objects of a copy of the example with other components, more files of objects and more patches."""
    overlay = directory / "overlay"
    shutil.copytree(EXAMPLE, overlay)
    file = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    shared = os.path.relpath(EXAMPLE.parents[1], overlay)
    kustomization["resources"] = ["namespace.yaml", f"{shared}/base", *(files or ())]
    kustomization["components"] = [f"{shared}/components/{each}" for each in components]
    kustomization["patches"].extend(patches)
    for name, text in (files or {}).items():
        (overlay / name).write_text(text, encoding="utf-8")
    file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return rendered(overlay)


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of a kind, by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pod_templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of the pods of each Deployment and CronJob, by the name of its object."""
    deployments = of_kind(manifests, "Deployment").items()
    cron_jobs = of_kind(manifests, "CronJob").items()
    return {
        **{name: each["spec"]["template"] for name, each in deployments},
        **{name: each["spec"]["jobTemplate"]["spec"]["template"] for name, each in cron_jobs},
    }


def container_of(template: Manifest) -> Manifest:
    """The one container of a pod."""
    (container,) = template["spec"]["containers"]
    return dict(container)


def environment_of(template: Manifest, manifests: list[Manifest]) -> Mapping[str, str]:
    """The variables of a pod's container, with those of its ConfigMaps."""
    return dict(_variables(container_of(template), of_kind(manifests, "ConfigMap")))


def _variables(container: Manifest, maps: Mapping[str, Manifest]) -> Iterator[tuple[str, str]]:
    for each in container["envFrom"]:
        yield from maps[each["configMapRef"]["name"]]["data"].items()
    for each in container["env"]:
        if "value" in each:
            yield each["name"], each["value"]
        else:
            source = each["valueFrom"]["configMapKeyRef"]
            yield each["name"], maps[source["name"]]["data"][source["key"]]


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
