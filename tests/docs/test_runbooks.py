"""The commands of docs/operations/runbooks.md work, in their order, on a vault that has the symptom."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Final

import pytest

from tests.docs.runbook_scenes import LOGINS, SCENES, old_month, retired
from tests.kit.events import events
from tests.kit.pages import BLOCK, DOCS, shell
from tests.kit.vault import Result, Vault
from tests.kit.vaults import IMPATIENT, copied

PAGE: Final = DOCS / "operations" / "runbooks.md"
SECTIONS: Final = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EXITS: Final = re.compile(r"\s+# exits (\d+).*")
RETIRED: Final = "2730847132"
"""On the page, the id of a token key that is retired."""


@pytest.fixture(scope="module")
def site(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with records, which every section is run on."""
    with copied(keyed, tmp_path_factory.mktemp("runbooks")) as vault:
        vault.overrides.update(IMPATIENT)
        vault.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
        vault.renew_queue()
        vault.send(events(5))
        vault.ok("ingest", "ingest")
        yield vault


@pytest.mark.parametrize("section", SECTIONS, ids=lambda text: text.partition("\n")[0])
def test_the_commands_of_a_section_work(site: Vault, section: str) -> None:
    """Each command ends as the page says, and prints the lines that the page shows."""
    heading = section.partition("\n")[0]
    shown = ""
    with SCENES.get(heading, nullcontext)(site) as vault:
        for language, block in BLOCK.findall(section):
            match language:
                case "sh":
                    shown = _run(vault, block)
                case "text":
                    for line in block.splitlines():
                        assert line == "…" or _spaced(line) in map(_spaced, shown.splitlines()), (
                            shown
                        )


def test_every_scene_is_of_a_section() -> None:
    """A heading that was renamed would lose its symptom."""
    assert SCENES.keys() <= {section.partition("\n")[0] for section in SECTIONS}


def _run(vault: Vault, block: str) -> str:
    """Run the commands of a block, and return what they print."""
    head, *lines = block.replace("\\\n", "").splitlines()
    if head.startswith("# not run"):
        return ""
    role = head.removeprefix("# as ")
    shown = ""
    for line in lines:
        found = EXITS.search(line)
        done = _done(vault, role, EXITS.sub("", line))
        assert done.code == int(found[1] if found else 0), f"{line}\n{done.code} {done.stderr}"
        shown += done.stdout + done.stderr
    return shown


def _done(vault: Vault, role: str, line: str) -> Result:
    text = line.replace("/srv/archives", str(vault.home / "archives")).replace(
        "2024-03", old_month()
    )
    for name, login in LOGINS.items():
        text = re.sub(rf"(?<=ROLE )\b{name}\b|(?<=usename = '){name}\b", login, text)
    if UUID.search(text):
        ((record_id,),) = vault.sql("SELECT max(record_id::text) FROM vault_etl.quarantine")
        text = UUID.sub(record_id, text)
    if RETIRED in text:
        text = text.replace(RETIRED, retired(vault))
    if text.startswith("vault-etl ") and not re.search(r"[|>]", text):
        return vault.run(role, *shlex.split(text)[1:])
    done = shell(text, vault.environment(role), vault.home)
    return Result(done.returncode, done.stdout, done.stderr)


def _spaced(line: str) -> str:
    return " ".join(line.split())
