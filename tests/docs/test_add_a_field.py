"""The commands of docs/how-to/add-a-field.md work, in their order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.kit.declarations import DEFAULT_TOML
from tests.kit.events import events
from tests.kit.iam_fields import deployed
from tests.kit.vault import Vault
from vault_etl.declaration.read import read_declaration

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-field.md"
BEHIND_PERSONAL = "\n[events.user_logins.plain]"


def blocks(language: str) -> list[str]:
    """The blocks of the page in this language, in order."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_steps_of_the_page_work(quick: Vault) -> None:
    """The address of an event that comes after the last step is stored."""
    field, value = blocks("toml")
    text = DEFAULT_TOML.replace(BEHIND_PERSONAL, value + BEHIND_PERSONAL) + field
    (quick.home / "new.toml").write_text(text, encoding="utf-8")
    compare, iam, apply, key, ingest, doctor = blocks("sh")
    quick.send(json.dumps(json.loads(body) | {"email": "a@example.org"}) for body in events(2))
    for step in (compare, iam, apply):
        _ok(quick, step)
    with deployed(quick, read_declaration(str(quick.home / "new.toml"))):
        _ok(quick, key)
        assert '"stored": 2' in _ok(quick, ingest)
        found = [json.loads(line) for line in _run(quick, doctor).stdout.splitlines()]
    (declared,) = (line for line in found if line["check"] == "declaration")
    assert (declared["ok"], declared["detail"]) == (True, "version 2 is in force, and is this file")
    assert quick.sql("SELECT count(masked_email) FROM vault_etl.user_logins") == [(2,)]


def _ok(vault: Vault, block: str) -> str:
    done = _run(vault, block)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(vault: Vault, block: str) -> subprocess.CompletedProcess[str]:
    roles = {"OWNER": "admin", "RE_ENCRYPT": "re-encrypt", "INGEST": "ingest"}
    environment = vault.environment("admin")
    return subprocess.run(
        ["/bin/sh", "-eu"],
        env={
            **environment,
            **{name: vault.database_url(role) for name, role in roles.items()},
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        },
        cwd=vault.home,
        input=block,
        capture_output=True,
        text=True,
        check=False,
    )
