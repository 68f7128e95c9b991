"""Sessions that read for long, and do not give way to a cut-over."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.kit.sessions import connect
from tests.kit.vault import Vault
from vault_etl.local.postgres_server import find_postgres_binaries

BULK = "CREATE TABLE vault_etl.bulk AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000)"
"""More bytes than the pipe between pg_dump and a reader that does not read."""

SECONDS = 120


@contextmanager
def analyst(vault: Vault, seconds: float) -> Iterator[int]:
    """A query of this length on the view, in a transaction that stays open; the pid of its session."""
    gone = threading.Event()
    with closing(connect(vault.database_url("analyst"))) as connection:
        pid = connection.info.backend_pid

        def read() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(%s) FROM user_logins_masked LIMIT 1", (seconds,))
            gone.wait(SECONDS)
            connection.commit()

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield pid
        finally:
            gone.set()
            thread.join(SECONDS)


class Dump:
    """A real pg_dump, which waits for its reader until `finish`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def finish(self) -> bytes:
        """Read all of the dump."""
        stdout, stderr = self._process.communicate(timeout=SECONDS)
        assert self._process.returncode == 0, stderr
        return stdout


@contextmanager
def dumping(vault: Vault) -> Iterator[Dump]:
    """`pg_dump` of the whole database."""
    vault.sql(BULK)
    server = vault.server
    where = ["--host=127.0.0.1", f"--port={server.port}", "--username=admin", vault.database]
    process = subprocess.Popen(
        [find_postgres_binaries().bin / "pg_dump", *where],
        env={"PATH": os.defpath, "PGPASSWORD": server.passwords.of("admin")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Dump(process)
    finally:
        process.kill()
        process.communicate()
