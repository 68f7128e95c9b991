"""Debian's Prometheus and Alertmanager with the files of deploy/monitoring: short times, and the ports of a test."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kit.monitoring import FOLDER, RULES
from tests.kit.waiting import until
from vault_etl.local.processes import free_port

SECOND: Final = "1s"


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A running Prometheus, and the Alertmanager that it tells."""

    prometheus: int
    alertmanager: int

    def now(self, expression: str) -> list[Any]:
        """Return the series that an expression has now."""
        return list(get(self.prometheus, "/api/v1/query", query=expression)["data"]["result"])

    def past(self, expression: str) -> list[Any]:
        """Return the series that an expression has now, or had in the last five minutes."""
        end = time.time()
        within = {"start": str(end - 300), "end": str(end), "step": SECOND}
        answer = get(self.prometheus, "/api/v1/query_range", query=expression, **within)
        return list(answer["data"]["result"])

    def has_scraped(self, job: str) -> bool:
        """Tell whether the last scrape of a job succeeded."""
        return bool(self.now(f'up{{job="{job}"}} == 1'))

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that Alertmanager has, by name."""
        found = get(self.alertmanager, "/api/v2/alerts")
        return {alert["labels"]["alertname"]: alert for alert in found}


def get(port: int, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
    """Ask an HTTP API."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{query}", timeout=10) as answer:
        return json.load(answer)


def is_ready(port: int) -> bool:
    """Tell whether a server answers that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=10):
            return True
    except OSError:  # nothing listens yet, or it answers 503
        return False


@contextmanager
def monitoring(folder: Path, targets: Mapping[str, int]) -> Iterator[Monitoring]:
    """Start both with the project's own files; `targets` has the port of each job.

    Only addresses and times are other ones: they scrape and judge each second, and an alert fires after a second.
    """
    ports = Monitoring(free_port(), free_port())
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    configuration["global"] = dict.fromkeys(configuration["global"], SECOND)
    (alertmanagers,) = configuration["alerting"]["alertmanagers"]
    alertmanagers["static_configs"] = [{"targets": [f"127.0.0.1:{ports.alertmanager}"]}]
    assert {job["job_name"] for job in configuration["scrape_configs"]} == targets.keys()
    for job in configuration["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{targets[job['job_name']]}"]}]
    rules = yaml.safe_load(RULES.read_text("utf-8"))
    for group in rules["groups"]:
        for rule in (rule for rule in group["rules"] if "for" in rule):
            rule["for"] = SECOND
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), "utf-8")
    (folder / RULES.name).write_text(yaml.safe_dump(rules), "utf-8")
    listen = "--web.listen-address=127.0.0.1"
    with ExitStack() as opened:
        commands = (
            (
                "prometheus-alertmanager",
                f"--config.file={FOLDER / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                "--cluster.listen-address=",
                f"{listen}:{ports.alertmanager}",
            ),
            (
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"{listen}:{ports.prometheus}",
            ),
        )
        for command in commands:
            log = opened.enter_context((folder / f"{command[0]}.log").open("wb"))
            process = opened.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            opened.callback(process.kill)
        until(lambda: is_ready(ports.alertmanager))
        until(lambda: is_ready(ports.prometheus))
        yield ports
