"""The dashboard and the provisioning of Grafana. No Grafana starts here: the files are compared with what it reads."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from deploy.monitoring.generate_dashboard import COLUMNS, DASHBOARD, text
from tests.kit.monitoring import FOLDER

PANELS = json.loads(text())["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]


def test_the_file_is_what_the_generator_writes() -> None:
    """After a change, run deploy/monitoring/generate_dashboard.py."""
    assert DASHBOARD.read_text("utf-8") == text()


def test_no_panel_covers_another() -> None:
    """Each unit of the grid has one panel at most, and none is outside."""
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < COLUMNS
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


@pytest.mark.parametrize("panel", SHOWN, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_its_query_keeps(panel: dict[str, list[dict[str, str]]]) -> None:
    """`by (…)` of the query has each label of the legend; queries of a panel have different letters."""
    for target in panel["targets"]:
        kept = ", ".join(re.findall(r"by \(([^)]*)\)", target["expr"])).split(", ")
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(kept)
    letters = [target["refId"] for target in panel["targets"]]
    assert len(letters) == len(set(letters))


def test_the_provisioned_files_are_those_that_docker_compose_mounts() -> None:
    """The source has the address of the service, and the provider the folder of the dashboard."""
    (source,) = provisioned("datasources/prometheus.yml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = provisioned("dashboards/vault-etl.yml")["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/etc/grafana/dashboards")


def provisioned(file: str) -> dict[str, Any]:
    """A file of the provisioning."""
    path = FOLDER / "grafana" / "provisioning" / file
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found
