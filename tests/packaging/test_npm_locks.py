"""The lock files of npm, which a user installs from whatever mirror they have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", ["tests/attacks/iam", "benchmarks/peers/consumer"])
def test_a_lock_pins_hashes_and_holds_no_address(folder: str) -> None:
    """Every npm package has its version and hash, and nothing says where it is fetched from."""
    text = (REPOSITORY / folder / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    packages = json.loads(text)["packages"]
    own = packages.pop("")
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert own["dependencies"] == {
        name: packages[f"node_modules/{name}"]["version"] for name in own["dependencies"]
    }
