"""The commands of docs/how-to/your-own-events.md work in their order, and a terminal shows what the page shows."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.pages import BLOCK
from vault_etl.local.stack import EmbeddedStack

pytestmark = pytest.mark.command

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "your-own-events.md"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in which a stack may be started."""
    (tmp_path / "exports").write_text("", encoding="utf-8")
    try:
        yield tmp_path
    finally:
        EmbeddedStack(tmp_path / ".vault-etl").reset()


@pytest.mark.timeout(600)
def test_the_steps_of_the_page_work(folder: Path) -> None:
    """Each command succeeds, and each line of output that the page has is shown."""
    shown, declaration = "", folder / "vault-etl.schema.toml"
    for language, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        match language:
            case "json":
                (folder / "signups.jsonl").write_text(block, encoding="utf-8")
            case "toml" if block.startswith("[fields.phone]"):
                proposed = declaration.read_text(encoding="utf-8")
                decided, count = re.subn(r"\[fields\.phone\]\n(?:.+\n)+", block, proposed)
                assert count == 1
                declaration.write_text(decided, encoding="utf-8")
            case "toml":
                assert block in declaration.read_text(encoding="utf-8")
            case "sh":
                found = re.search(rf"^({UUID.pattern})  2026", shown, re.MULTILINE)
                shown = _on_terminal(UUID.sub(found[1] if found else "", block), folder)
            case _:
                for line in block.splitlines():
                    assert line == "…" or _masked(line) in map(_masked, shown.splitlines()), shown


def _on_terminal(block: str, folder: Path) -> str:
    """Run lines of a shell with the exports of those before, and return what its terminal shows."""
    terminal, output = pty.openpty()
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            ["/bin/sh", "-euc", f". ./exports\n{block}\nexport -p > exports"],
            env={
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
                "HOME": str(folder),
                "TERM": "dumb",
                "COLUMNS": "80",
                "LC_ALL": "C.UTF-8",
            },
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
    os.close(output)
    shown = b""
    with contextlib.suppress(OSError):  # EIO is the end of a terminal
        while part := os.read(terminal, 65_536):
            shown += part
    os.close(terminal)
    assert process.wait() == 0, shown.decode() + (folder / "errors").read_text(encoding="utf-8")
    return shown.decode()


def _masked(line: str) -> str:
    """A line without what differs in each run: ids, moments, and the width of columns."""
    line = re.sub(r"^(created  )?\d{6,}(?= +(?:token|source)|$)", "KEY", UUID.sub("ID", line))
    return " ".join(re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "MOMENT", line).split())
