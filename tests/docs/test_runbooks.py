"""The commands of docs/operations/runbooks.md work, in their order, on a vault that has the symptom."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

import pytest

from tests.kit.databases import database_copy
from tests.kit.doctor import NOWHERE
from tests.kit.events import event, events
from tests.kit.processes import finish, start
from tests.kit.vault import Result, Vault
from tests.kit.vaults import IMPATIENT, copied
from tests.kit.waiting import until
from vault_etl.local.postgres_server import find_postgres_binaries

PAGE: Final = Path(__file__).parents[2] / "docs" / "operations" / "runbooks.md"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS: Final = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EXITS: Final = re.compile(r"\s+# exits (\d+).*")
MONTH: Final = f"{dt.datetime.now(dt.UTC) - dt.timedelta(days=600):%Y-%m}"
"""A month that may still be made, for the one of the page."""
RETIRED: Final = "2730847132"
"""On the page, the id of a token key that is retired."""
LOGINS: Final = {"worker": "test_ingest", "alice_reveal": "test_reveal"}

Scene = Callable[[Vault], AbstractContextManager[Vault]]


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
    text = line.replace("/srv/archives", str(vault.home / "archives")).replace("2024-03", MONTH)
    for name, login in LOGINS.items():
        text = re.sub(rf"(?<=ROLE )\b{name}\b|(?<=usename = '){name}\b", login, text)
    if UUID.search(text):
        ((record_id,),) = vault.sql("SELECT max(record_id::text) FROM vault_etl.quarantine")
        text = UUID.sub(record_id, text)
    if RETIRED in text:
        ((key_id,),) = vault.sql(
            "SELECT min(key_id) FROM vault_etl.data_keys WHERE purpose = 'token' AND state = 'decrypt_only'"
        )
        text = text.replace(RETIRED, str(key_id))
    if text.startswith("vault-etl ") and not re.search(r"[|>]", text):
        return vault.run(role, *shlex.split(text)[1:])
    path = [Path(sys.executable).parent, find_postgres_binaries().bin]
    done = subprocess.run(
        ["/bin/sh", "-euc", text],
        env={**vault.environment(role), "PATH": os.pathsep.join([*map(str, path), os.defpath])},
        cwd=vault.home,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def _spaced(line: str) -> str:
    return " ".join(line.split())


@contextmanager
def _empty(site: Vault) -> Iterator[Vault]:
    """A database in which nothing is yet, and a message in the queue."""
    with database_copy(site.server, "template1") as database:
        site.send([event()])
        yield dataclasses.replace(site, database=database)


@contextmanager
def _set(site: Vault, **settings: str) -> Iterator[Vault]:
    """Settings of every command."""
    yield dataclasses.replace(site, overrides={**site.overrides, **settings})


@contextmanager
def _working(site: Vault) -> Iterator[Vault]:
    """A worker that ends well when it is told to."""
    worker = start(site, "ingest", "ingest", "--follow")
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vault-etl ingest'"
    try:
        until(lambda: site.sql(sessions) != [(0,)])
        yield site
    finally:
        worker.terminate()
        result = finish(worker)
    assert result.code == 0, result.stderr


def _sent(*bodies: str) -> Scene:
    """Messages in the queue."""

    @contextmanager
    def scene(site: Vault) -> Iterator[Vault]:
        site.send(bodies)
        yield site

    return scene


def _ingested(*bodies: str, **settings: str) -> Scene:
    """Messages that were ingested with these settings."""

    @contextmanager
    def scene(site: Vault) -> Iterator[Vault]:
        site.send(bodies)
        site.ok("ingest", "ingest", extra=settings)
        yield site

    return scene


@contextmanager
def _dead_letters(site: Vault) -> Iterator[Vault]:
    """A message among the dead letters."""
    site.emulator.client("sqs").send_message(
        QueueUrl=site.provisioned.dead_letter_url, MessageBody=event()
    )
    yield site


@contextmanager
def _denied(site: Vault) -> Iterator[Vault]:
    """The AWS role of another login."""
    key = site.provisioned.credentials["audit"]
    with _set(
        site,
        AWS_ACCESS_KEY_ID=key.access_key_id,
        AWS_SECRET_ACCESS_KEY=key.secret_access_key,
    ) as vault:
        yield vault


@contextmanager
def _old_keys(site: Vault) -> Iterator[Vault]:
    """Keys that are older than both limits."""
    site.grow_older(dt.timedelta(days=400))
    yield site
    site.grow_older(dt.timedelta(days=-400))


@contextmanager
def _tampered(site: Vault) -> Iterator[Vault]:
    """An entry of the log that the owner of the server changed."""
    change = "SET session_replication_role = replica; UPDATE audit_log SET reason = %s WHERE seq = 2 RETURNING 1"
    ((reason,),) = site.sql("SELECT reason FROM audit_log WHERE seq = 2")
    site.sql(change, "another")
    try:
        yield site
    finally:
        site.sql(change, reason)


@contextmanager
def _lockable(site: Vault) -> Iterator[Vault]:
    """Logins that are as before afterwards: other tests of this process need them."""
    try:
        yield site
    finally:
        for login in LOGINS.values():
            password = site.server.passwords.of(login)
            site.sql(f"ALTER ROLE {login} LOGIN PASSWORD %s", password)


@contextmanager
def _disabled(site: Vault) -> Iterator[Vault]:
    """The KMS key of data keys is disabled."""
    kms, key = site.emulator.client("kms"), site.provisioned.key_arns["data"].rpartition("/")[2]
    kms.disable_key(KeyId=key)
    try:
        yield site
    finally:
        kms.enable_key(KeyId=key)


@contextmanager
def _old_month(site: Vault) -> Iterator[Vault]:
    """A month of the past, and a folder for its archive."""
    site.ok("owner", "partitions", "ensure", MONTH)
    (site.home / "archives").mkdir()
    yield site


SCENES: Final[Mapping[str, Scene]] = {
    "Install": _empty,
    "Upgrade with workers running": _working,
    "Ingest does not run": _sent(*events(3)),
    "Ingest is not ready": lambda site: _set(site, AWS_ENDPOINT_URL_SQS=NOWHERE),
    "Lag grows": _sent(*events(3)),
    "Nothing is received": lambda site: _set(site, VAULT_ETL_QUEUE_URL=f"{NOWHERE}/1/other"),
    "Messages near the dead-letter queue": _dead_letters,
    "Quarantine grows": _ingested("not json"),
    "Fields are dropped": _ingested(event(email="a@example.org"), VAULT_ETL_STRICT="true"),
    "A call is denied": _denied,
    "A key is overdue": _old_keys,
    "Rotate a password of the database": _lockable,
    "The log does not verify": _tampered,
    "A reveal credential leaked": _lockable,
    "A worker was compromised": _lockable,
    "A KMS key is lost": _disabled,
    "A month to the archive": _old_month,
}
"""Sections whose symptom is made before their commands run."""
