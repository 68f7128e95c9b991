"""The evaluator's lock file, which every user installs from whatever mirror they have."""

from __future__ import annotations

import json
from pathlib import Path


def test_the_lock_pins_hashes_and_holds_no_address() -> None:
    """Every npm package has its version and hash, and nothing says where it is fetched from."""
    text = (Path(__file__).parent / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in text
    packages = json.loads(text)["packages"]
    own = packages.pop("")
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert own["dependencies"] == {
        name: packages[f"node_modules/{name}"]["version"] for name in own["dependencies"]
    }
