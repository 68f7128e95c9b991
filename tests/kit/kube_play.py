"""Pods of deploy/kubernetes, started by `podman kube play` beside the services of docker-compose.yml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.kit.manifests import Manifest, of_kind, pod_templates
from tests.kit.podman import Compose, Podman


@dataclass(frozen=True, slots=True)
class KubePlay:
    """Podman knows no CronJob: each workload is the Pod of its template, under a name of this project.

    A Secret is a folder on this machine, mounted in its place: Podman before 4.4 does not decode one.
    """

    compose: Compose
    manifests: list[Manifest]
    secrets: Mapping[str, Path]
    """The folder of each Secret, by its name."""
    directory: Path

    @property
    def podman(self) -> Podman:
        """The program."""
        return self.compose.podman

    def start(self, *workloads: str) -> None:
        """Start the pods of workloads."""
        maps = list(of_kind(self.manifests, "ConfigMap").values())
        file = self.directory / f"{'-'.join(workloads)}.yaml"
        documents = [*maps, *map(self._pod, workloads)]
        file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        network = ("--network", f"{self.compose.project}_default")
        self.podman.run("kube", "play", "--quiet", *network, str(file))

    def run(self, *workloads: str) -> None:
        """Run the pods of workloads to their end. Each must exit 0."""
        self.start(*workloads)
        for each in workloads:
            code = self.podman.run("wait", self.container(each)).stdout.strip()
            assert code == "0", self.logs(each)

    def container(self, workload: str) -> str:
        """The name of a workload's container."""
        return f"{self.compose.project}-{workload}-vault-etl"

    def logs(self, workload: str) -> str:
        """The end of what a workload wrote."""
        done = self.podman.run("logs", self.container(workload))
        return (done.stdout + done.stderr)[-4000:]

    def get(self, workload: str, path: str, port: int) -> int:
        """The status that a path of a pod answers with, asked from inside."""
        ask = f"import http.client as h; c = h.HTTPConnection('127.0.0.1', {port}); c.request('GET', {path!r})"
        command = ("python", "-c", f"{ask}; print(c.getresponse().status)")
        done = self.podman.run("exec", self.container(workload), *command, may_fail=True)
        return int(done.stdout or 0)

    def remove(self) -> None:
        """Remove the pods of this project."""
        listed = self.podman.run("pod", "ls", "--format", "json").stdout
        ours = [each["Name"] for each in json.loads(listed)]
        for name in ours:
            if name.startswith(f"{self.compose.project}-"):
                # The first try may leave the group of the pod, whose last process is about to end.
                self.podman.run("pod", "rm", "--force", "--time", "0", name, may_fail=True)

    def _pod(self, workload: str) -> Manifest:
        template = pod_templates(self.manifests)[workload]
        volumes = [self._volume(each) for each in template["spec"]["volumes"]]
        name = f"{self.compose.project}-{workload}"
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": name},
            "spec": {**template["spec"], "volumes": volumes},
        }

    def _volume(self, volume: Manifest) -> Manifest:
        if "secret" not in volume:
            return volume
        folder = self.secrets[volume["secret"]["secretName"]]
        return {"name": volume["name"], "hostPath": {"path": str(folder), "type": "Directory"}}
