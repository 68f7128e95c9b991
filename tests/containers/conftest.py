"""Podman, and the images of this repository."""

from __future__ import annotations

import pytest

from tests.kit.podman import Podman


@pytest.fixture(scope="package")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """Podman with all images built."""
    configured = Podman.configured(tmp_path_factory.mktemp("podman"))
    configured.build_all()
    return configured
