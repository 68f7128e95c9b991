"""Inputs of the builds: everything that comes from elsewhere is named by its digest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.loopback_server import LoopbackServer

pytestmark = pytest.mark.command

REPOSITORY = Path(__file__).resolve().parents[2]
RUNTIME_LOCK = REPOSITORY / "requirements" / "runtime.txt"
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
DOCKERFILE = (REPOSITORY / "docker" / "Dockerfile").read_text(encoding="utf-8")

USES = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
IMAGE = re.compile(r"^[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}$")


def _jobs(workflow: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return jobs


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_digest(workflow: Path) -> None:
    """Every `uses:` is a commit's 40 digits, with the version that it is in a comment."""
    used = re.findall(r"uses:\s*(.*)", workflow.read_text(encoding="utf-8"))
    assert used
    assert [each for each in used if not USES.match(each)] == []
    images = [job["container"]["image"] for job in _jobs(workflow).values() if "container" in job]
    assert [image for image in images if not IMAGE.match(image)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_nothing_that_a_job_does_not_ask_for(workflow: Path) -> None:
    """The token has no right at the top, and a job that runs code of a dependency may only read."""
    assert yaml.safe_load(workflow.read_text(encoding="utf-8"))["permissions"] == {}
    for name, job in _jobs(workflow).items():
        steps = job["steps"]
        checked_out = [step for step in steps if "actions/checkout@" in step.get("uses", "")]
        if checked_out:
            assert job["permissions"] == {"contents": "read"}, name
            assert all(step["with"]["persist-credentials"] is False for step in checked_out)
        else:
            assert not [step for step in steps if "pip" in step.get("run", "")], name


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_takes_nothing_unchecked(workflow: Path) -> None:
    """None runs for a fork with our token, keeps a cache, uses a secret, or installs by hand."""
    text = workflow.read_text(encoding="utf-8")
    for risk in (
        "pull_request_target",
        "workflow_run",
        "cache:",
        "secrets.",
        "pip install",
        "curl",
    ):
        assert risk not in text


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_the_scripts_of_a_workflow_are_bash(workflow: Path) -> None:
    """Every `run:` parses. No runner of GitHub is here to run it."""
    for job in _jobs(workflow).values():
        for script in (step["run"] for step in job["steps"] if "run" in step):
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_release_has_an_image_for_each_architecture() -> None:
    """Each is built by a job that may only read, and the job that publishes waits for all of them."""
    jobs = _jobs(REPOSITORY / ".github" / "workflows" / "release.yml")
    built = {each["architecture"] for each in jobs["image"]["strategy"]["matrix"]["include"]}
    published = {
        step["with"]["name"].removeprefix("image-")
        for step in jobs["publish"]["steps"]
        if step.get("with", {}).get("name", "").startswith("image-")
    }
    assert built == published == {"amd64", "arm64"}
    assert set(jobs["publish"]["needs"]) == {"build", "image"}


def test_images_are_pinned_by_digest() -> None:
    """Every base image is a tag for people and a digest for the build; the rest are stages of the file."""
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    text = DOCKERFILE.replace("${PYTHON}", python)
    bases = re.findall(r"^FROM (\S+) AS (\S+)$", text, flags=re.MULTILINE)
    assert len(bases) == DOCKERFILE.count("FROM ")
    stages = {stage for _, stage in bases}
    assert [base for base, _ in bases if base not in stages and not IMAGE.match(base)] == []


def test_production_is_built_from_the_runtime_lock() -> None:
    """The last stage, which is the default, and its base install that lock by hash, the wheel, and nothing else."""
    stages = {each.partition("\n")[0]: each for each in DOCKERFILE.split("FROM ")}
    assert list(stages)[-1] == "locked AS production"
    stage = stages["base AS locked"] + stages["locked AS production"]
    installs = re.findall(r"pip install (.*)", stage)
    assert installs == [
        "--no-cache-dir --require-hashes -r /tmp/lock.txt",
        "--no-cache-dir --no-deps --no-index /dist/*.whl",
    ]
    assert re.findall(r"^COPY (.*)", stage, flags=re.MULTILINE) == [
        "requirements/${LOCK}.txt /tmp/lock.txt"
    ]
    assert re.findall(r"^ARG (.*)", stage, flags=re.MULTILINE) == [
        "LOCK=runtime",
        "REVISION=unknown",
        "VERSION=unreleased",
    ]
    assert re.search(r"^USER [1-9]\d*$", stage, flags=re.MULTILINE)


def test_every_path_with_an_owner_exists() -> None:
    """CODEOWNERS names keys/ and migrations/, and no path that is gone."""
    text = (REPOSITORY / ".github" / "CODEOWNERS").read_text(encoding="utf-8")
    paths = [line.split()[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert {"/keys/", "/migrations/", "/.github/", "/requirements/"} <= set(paths)
    for path in paths:
        place = REPOSITORY / path.strip("/")
        assert place.is_dir() if path.endswith("/") else place.is_file(), path


def test_every_place_that_the_bot_watches_exists() -> None:
    """Dependabot checks each kind of pin, in the folder of its file."""
    config = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    watched = {each["package-ecosystem"]: each["directory"] for each in config["updates"]}
    files = {
        "pip": "runtime.txt",
        "github-actions": ".github/workflows/check.yml",
        "docker": "Dockerfile",
        "docker-compose": "docker-compose.yml",
        "npm": "package-lock.json",
    }
    assert set(watched) == set(files)
    for ecosystem, file in files.items():
        assert (REPOSITORY / watched[ecosystem].strip("/") / file).is_file()


def test_the_sbom_holds_what_production_installs(tmp_path: Path) -> None:
    """Made without a network, it has each package of the lock, at its version, with all its hashes."""
    recipe = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^SBOM := (.*?)(?<!\\)$", recipe, flags=re.MULTILINE | re.DOTALL)
    assert found
    words = found[1].replace("\\\n", " ").replace("$(BIN)/python", sys.executable).split()
    report = tmp_path / "sbom.json"
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "PATH": ""}
    command = [*words, "--output-file", str(report), str(RUNTIME_LOCK)]
    subprocess.run(command, cwd=REPOSITORY, env=offline, check=True, capture_output=True)
    sbom = json.loads(report.read_text(encoding="utf-8"))
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["name"]) == ("CycloneDX", "vault-etl")
    listed = {f"{each['name']}=={each['version']}" for each in sbom["components"]}
    lock = RUNTIME_LOCK.read_text(encoding="utf-8")
    assert listed == set(re.findall(r"^([\w.-]+==[^\s;]+)", lock, flags=re.MULTILINE))
    hashes = {
        each["content"]
        for component in sbom["components"]
        for reference in component["externalReferences"]
        for each in reference.get("hashes", [])
    }
    assert hashes == set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock))


@pytest.fixture
def advisories() -> Iterator[tuple[str, dict[str, int]]]:
    """A service on loopback that answers as OSV does: package → how many advisories it has."""
    known: dict[str, int] = {}

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": []}]
            vulns = [
                {"id": f"GHSA-{n}", "summary": "", "details": "", "affected": affected}
                for n in range(known.get(name, 0))
            ]
            body = json.dumps({"vulns": vulns} if vulns else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with LoopbackServer(Answers) as server:
        yield f"{server.url}/v1/query", known


def _audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ".ci/advisories.py", str(RUNTIME_LOCK), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_a_known_vulnerability_stops_a_release(advisories: tuple[str, dict[str, int]]) -> None:
    """A package that has one is named, and the exit code is 1; with none it is 0."""
    url, known = advisories
    clean = _audit("--service-url", url)
    assert (clean.returncode, "no known vulnerability" in clean.stdout) == (0, True)
    known["cryptography"] = 1
    done = _audit("--service-url", url)
    assert (done.returncode, "cryptography" in done.stdout) == (1, True)


def test_an_audit_without_an_answer_is_not_clean() -> None:
    """Offline the audit says that nothing was checked and passes; where an answer is required, the audit fails."""
    closed = "http://127.0.0.1:9/v1/query"
    done = _audit("--service-url", closed)
    assert (done.returncode, done.stdout) == (0, "")
    assert "not checked" in done.stderr
    assert _audit("--service-url", closed, "--must-answer").returncode == 2
