"""Debian's PgBouncer in transaction mode before a test's server, with few connections for many callers."""

from __future__ import annotations

import dataclasses
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.kit.waiting import until
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.processes import free_port, give_away, is_port_free, is_root

PROGRAM: Final = "/usr/sbin/pgbouncer"
CONNECTIONS: Final = 3
"""To the server, of a login: fewer than its callers, who get another one with each transaction."""

_CONFIGURATION: Final = """
[databases]
* = host=127.0.0.1 port={upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {place}/users
pool_mode = transaction
ignore_startup_parameters = options
default_pool_size = {connections}
"""


@contextmanager
def pgbouncer(server: RunningPostgres, logins: Iterable[str]) -> Iterator[RunningPostgres]:
    """The server as it is seen through the pooler: as Debian's package has it, but for mode and size."""
    place = Path(tempfile.mkdtemp(prefix="vault-etl-pgbouncer-"))
    port = free_port()
    settings = place / "pgbouncer.ini"
    settings.write_text(
        _CONFIGURATION.format(
            upstream=server.port, port=port, place=place, connections=CONNECTIONS
        ),
        "utf-8",
    )
    users = place / "users"
    users.write_text(
        "".join(f'"{login}" "{server.passwords.of(login)}"\n' for login in logins), "utf-8"
    )
    give_away(place, settings, users)
    user = pwd.getpwnam("nobody") if is_root() else None
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "-q", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )
    try:
        until(lambda: not is_port_free(port))
        yield dataclasses.replace(server, port=port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(place)
