"""The script of docs/library.md: from a wheel to tokens in a data frame, in a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.pages import documented, shell

REPOSITORY = Path(__file__).resolve().parents[2]

# Installing is most of it: pyarrow, pandas and the embedded stack are 500 MB.
pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_ten_lines_lead_to_tokens_in_a_data_frame(tmp_path: Path) -> None:
    """The lines of the page beside the wheel: equal addresses have one token, and no address is left."""
    install, program = documented("library.md", "sh")[0], documented("library.md", "python")[0]
    lines = [line for line in f"{install}\n{program}".splitlines() if line.strip()]
    assert len(lines) == 10
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    (tmp_path / "logins.py").write_text(program, encoding="utf-8")
    try:
        done = shell(install, os.environ, tmp_path)
    finally:
        shell("env/bin/vault-etl local reset --yes", os.environ, tmp_path)
    assert done.returncode == 0, done.stderr
    ann, bob = (row.split() for row in done.stdout.splitlines()[-2:])
    assert (ann[1], bob[1]) == ("ann", "bob")
    assert ann[2] == bob[2]
    assert len(ann[2]) == len("00000000-0000-0000-0000-000000000000")
    assert "198.51.100" not in done.stdout + done.stderr
