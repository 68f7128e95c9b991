"""The commands of docs/how-to/add-a-field.md work, in their order."""

from __future__ import annotations

import json
import subprocess

from tests.kit.declarations import DEFAULT_TOML
from tests.kit.events import events
from tests.kit.iam_fields import deployed
from tests.kit.pages import documented, shell
from tests.kit.vault import Vault
from vault_etl.declaration.read import read_declaration

PAGE = "how-to/add-a-field.md"
BEHIND_PERSONAL = "\n[events.user_logins.plain]"


def test_the_steps_of_the_page_work(quick: Vault) -> None:
    """The address of an event that comes after the last step is stored."""
    field, value = documented(PAGE, "toml")
    text = DEFAULT_TOML.replace(BEHIND_PERSONAL, value + BEHIND_PERSONAL) + field
    (quick.home / "new.toml").write_text(text, encoding="utf-8")
    compare, iam, apply, key, ingest, doctor = documented(PAGE, "sh")
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
    urls = {name: vault.database_url(role) for name, role in roles.items()}
    return shell(block, {**vault.environment("admin"), **urls}, vault.home)
