"""The example of deploy/kubernetes, rendered."""

from __future__ import annotations

import pytest

from tests.kit.manifests import EXAMPLE, Manifest, pod_templates, rendered


@pytest.fixture(scope="package")
def manifests() -> list[Manifest]:
    """The objects of the example."""
    return rendered(EXAMPLE)


@pytest.fixture(scope="package")
def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The template of each workload's pods."""
    return pod_templates(manifests)
