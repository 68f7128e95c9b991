"""Podman: images of this repository on stand-in bases, and the services of docker-compose.yml.

The registries of images are not asked. A stand-in is made from Debian's packages and from PyPI, under a name of its
own. It shows that files build, start, wait for one another, stop and keep what they should; it does not show what is in
the real base. A build uses this machine's settings of pip and its certificates, mounted, so that no image has them.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.kit.waiting import until

ROOT: Final = Path(__file__).parents[2]
STAND_INS: Final = ROOT / "tests" / "containers" / "stand_ins"
BUILD_SECONDS: Final = 900
DEBIAN: Final = "trixie"
PACKAGES: Final = "python3,python3-venv,ca-certificates,curl"

PYTHON: Final = "localhost/vault-etl-python"
POSTGRES: Final = "localhost/vault-etl-postgres"
LOCALSTACK: Final = "localhost/vault-etl-localstack"
PROMETHEUS: Final = "localhost/vault-etl-prometheus"
ALERTMANAGER: Final = "localhost/vault-etl-alertmanager"
DEMO: Final = "localhost/vault-etl-demo"
PRODUCTION: Final = "localhost/vault-etl"

_DEBIAN_IMAGE: Final = "localhost/vault-etl-debian"
_SOURCES: Final = Path("/etc/apt/sources.list.d/debian.sources")
_OF_PROMETHEUS: Final = ("/usr/bin", "/usr/share/prometheus")
"""Folders with what Debian's packages of Prometheus and Alertmanager need."""

_OF_THE_MACHINE: Final = (
    "/etc/pip.conf",
    str(Path.home() / ".config" / "pip" / "pip.conf"),
    "/etc/ssl/certs/ca-certificates.crt",
)


@dataclass(frozen=True, slots=True)
class Podman:
    """The program, with a configuration in `directory`."""

    directory: Path

    @classmethod
    def configured(cls, directory: Path) -> Podman:
        """Make a configuration with limits that any machine allows: Podman's own are above those of a container."""
        ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
        (directory / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = {json.dumps(ulimits)}\n[engine]\nruntime = "runc"\n',
            encoding="ascii",
        )
        return cls(directory)

    def run(
        self,
        *arguments: str,
        extra: Mapping[str, str] | None = None,
        program: Sequence[str] = ("podman",),
        may_fail: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `podman ARGUMENTS`, or another program with the same configuration. It must succeed, or it `may_fail`."""
        done = subprocess.run(
            [*program, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "CONTAINERS_CONF": str(self.directory / "containers.conf"),
                **(extra or {}),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_SECONDS,
        )
        assert may_fail or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """Return what Podman knows of an image or a container."""
        (found,) = json.loads(self.run(kind, "inspect", name).stdout)
        return dict(found)

    def build(self, name: str, file: Path, *options: str) -> None:
        """Build an image from the repository."""
        mounted = [f"--volume={path}:{path}:ro" for path in _OF_THE_MACHINE if Path(path).exists()]
        # Docker's format has health checks, which OCI's has not.
        self.run(
            *("build", "--quiet", "--format", "docker", "--network", "host", *mounted),
            *("--tag", name, "--file", str(file), *options, str(ROOT)),
        )

    def build_all(self) -> None:
        """Build the stand-ins, and the images of this repository as it is. Another process waits for them."""
        with (ROOT / ".venv" / ".images.lock").open("w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._build_all()

    def _build_all(self) -> None:
        if self.run("image", "exists", _DEBIAN_IMAGE, may_fail=True).returncode:
            self._import_debian()
        self.build(PYTHON, STAND_INS / "python.Dockerfile")
        self.build(POSTGRES, STAND_INS / "postgres.Dockerfile")
        self.build(LOCALSTACK, STAND_INS / "localstack.Dockerfile")
        programs = [f"--volume={place}:/mnt{place}:ro" for place in _OF_PROMETHEUS]
        for name, target in ((PROMETHEUS, "prometheus"), (ALERTMANAGER, "alertmanager")):
            file = STAND_INS / "prometheus.Dockerfile"
            self.build(name, file, "--target", target, *programs)
        dockerfile = ROOT / "docker" / "Dockerfile"
        base = ("--build-arg", f"PYTHON={PYTHON}")
        self.build(DEMO, dockerfile, *base, "--target", "demo")
        revision = self.inspect("image", DEMO)["Id"]
        self.build(PRODUCTION, dockerfile, *base, "--build-arg", f"REVISION={revision}")

    def _import_debian(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            archive, sources = Path(directory, "debian.tar"), Path(directory, "debian.sources")
            if _SOURCES.exists():  # the mirror of this machine; elsewhere Debian's own
                sources.write_text(_sources_of(DEBIAN), encoding="ascii")
            self.run(
                *("--variant=minbase", f"--include={PACKAGES}", "--quiet", DEBIAN, str(archive)),
                *([str(sources)] if sources.exists() else []),
                program=("mmdebstrap",),
            )
            self.run("import", "--quiet", str(archive), _DEBIAN_IMAGE)


def _sources_of(release: str) -> str:
    """Return this machine's sources of packages, for one release of Debian."""
    with Path("/etc/os-release").open(encoding="ascii") as file:
        own = next(line for line in file if line.startswith("VERSION_CODENAME=")).strip()
    return _SOURCES.read_text(encoding="ascii").replace(own.partition("=")[2], release)


@dataclass(frozen=True, slots=True)
class Compose:
    """docker-compose.yml as one project. Without systemd Podman runs no health check by itself: `up` asks for them."""

    podman: Podman
    project: str
    environment: Mapping[str, str]

    def run(self, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
        """Run `podman-compose ARGUMENTS`."""
        options = ("--project-name", self.project, "--profile", "monitoring")
        program = (sys.executable, "-m", "podman_compose", *options)
        return self.podman.run(
            *arguments, program=program, extra=self.environment, may_fail=may_fail
        )

    def start(self, *services: str) -> None:
        """Start services, without waiting for them."""
        self.run("up", "--detach", "--no-deps", "--no-build", *services)

    def up(self, order: Sequence[str], ends: Sequence[str]) -> None:
        """Start services one after the other: one of `ends` must end with 0, another must become healthy."""
        for service in order:
            self.start(service)
            if service in ends:
                assert self.podman.run("wait", self.container(service)).stdout.strip() == "0", (
                    self.logs(service)
                )
            else:
                until(
                    partial(self.is_healthy, service), told=partial(self.logs, service), pause=0.5
                )

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.project}_{service}_1"

    def is_healthy(self, service: str) -> bool:
        """Run the health check of a service."""
        return not self.podman.run(
            "healthcheck", "run", self.container(service), may_fail=True
        ).returncode

    def logs(self, service: str) -> str:
        """Return the end of what a service wrote."""
        done = self.podman.run("logs", self.container(service))
        return (done.stdout + done.stderr)[-4000:]

    def exec(self, service: str, *command: str) -> str:
        """Run a command in the container of a service, and return its output."""
        return self.podman.run("exec", self.container(service), *command).stdout

    def down(self, *options: str) -> None:
        """Remove the containers."""
        self.run("down", *options)
