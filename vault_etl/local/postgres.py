"""The embedded PostgreSQL 18, on 127.0.0.1 and a free port, with passwords and no socket file.

    <directory>/postgres.json     the place of the server's files, and its last port
    <directory>/passwords.json    a random password for each login, mode 0600
    <place>/data, <place>/postgres.log

The place is `<directory>/postgres`. For root, the place is a new folder outside every home that
belongs to `nobody`, since PostgreSQL refuses to run as root; the programs are copied there, because
`nobody` may not be able to read the folder of this Python.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from vault_etl.base.errors import UnavailableError
from vault_etl.local.postgres_server import (
    ADMIN,
    PostgresBinaries,
    PostgresServer,
    copy_for_nobody,
    find_postgres_binaries,
)
from vault_etl.local.private_files import (
    Passwords,
    make_private_directory,
    read_private_json,
    write_private_json,
)
from vault_etl.local.processes import free_port, give_away, is_port_free, is_root

DATABASE = "vault_etl"

_PLACE_PREFIX = "vault-etl-postgres-"
_SHARED_PLACES = Path("/var/tmp")  # noqa: S108  # mkdtemp's are private; outlives a reboot
_START_ATTEMPTS = 3  # another process may take the free port before the start
_CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class RunningPostgres:
    """A server that accepts connections. `port` is on 127.0.0.1."""

    port: int
    place: Path
    passwords: Passwords

    @property
    def admin_url(self) -> str:
        """The URL of the superuser."""
        return self.url(ADMIN)

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.place / "postgres.log"

    def url(self, login: str, database: str = DATABASE) -> str:
        """Return the connection URL of a login, with its password; a missing password is made.

        `database.py` makes the login itself.
        """
        password = self.passwords.of(login)
        return f"postgresql://{login}:{password}@127.0.0.1:{self.port}/{database}"


class EmbeddedPostgres:
    """A server whose records are in `directory`.

    `durable=False` turns fsync off, for tests: their data need not survive a power cut.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory.resolve()
        self._durable = durable
        self._record = self._directory / "postgres.json"
        self._passwords = Passwords(self._directory / "passwords.json")

    def start(self) -> RunningPostgres:
        """Start the server, and make it first if needed. Does nothing if the server runs.

        Raises ConfigurationError if it cannot run here, UnavailableError if it does not start.
        """
        binaries = find_postgres_binaries()
        make_private_directory(self._directory)
        place = self._find_or_make_place()
        server = PostgresServer(place, copy_for_nobody(binaries, place) if is_root() else binaries)
        if not server.is_initialised:
            server.initialise(self._passwords.of(ADMIN), durable=self._durable)
        if not server.is_running():
            self._launch(server)
        running = self._running(place)
        _create_database(running)
        return running

    def running(self) -> RunningPostgres | None:
        """Return the server if it runs, else None."""
        server, place = self._server(), self.place
        return self._running(place) if server and place and server.is_running() else None

    def stop(self) -> None:
        """End every session and stop the server. Does nothing if the server does not run."""
        server = self._server()
        if server is not None and server.is_running():
            server.stop()

    def destroy(self) -> None:
        """Stop the server and delete its data and passwords for good."""
        self.stop()
        place = self.place
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        self._record.unlink(missing_ok=True)
        self._passwords.path.unlink(missing_ok=True)

    @property
    def place(self) -> Path | None:
        """The folder of the server's files, or None if it does not exist."""
        recorded = read_private_json(self._record).get("place")
        place = Path(recorded) if recorded else None
        return place if place and place.is_dir() else None

    def _running(self, place: Path) -> RunningPostgres:
        port = int(read_private_json(self._record)["port"])
        return RunningPostgres(port=port, place=place, passwords=self._passwords)

    def _server(self) -> PostgresServer | None:
        place = self.place
        if place is None:
            return None
        return PostgresServer(
            place, PostgresBinaries(place) if is_root() else find_postgres_binaries()
        )

    def _find_or_make_place(self) -> Path:
        place = self.place
        if place is not None:
            return place
        if is_root():
            place = Path(tempfile.mkdtemp(prefix=_PLACE_PREFIX, dir=_SHARED_PLACES))
        else:
            place = self._directory / "postgres"
            make_private_directory(place)
        write_private_json(self._record, {"place": str(place)})
        give_away(place)
        return place

    def _launch(self, server: PostgresServer) -> None:
        """Start on the last port if it is free, so that addresses in a shell stay valid.

        The port is recorded first, so that no server runs on an unrecorded port.
        """
        record = read_private_json(self._record)
        port = int(record.get("port", 0))
        for attempt in range(1, _START_ATTEMPTS + 1):
            if port == 0 or not is_port_free(port):
                port = free_port()
            write_private_json(self._record, {**record, "port": port})
            try:
                server.launch(port, durable=self._durable)
            except UnavailableError:
                if attempt == _START_ATTEMPTS or is_port_free(port):
                    raise
            else:
                return


def admin_connection(
    running: RunningPostgres, database: str = DATABASE
) -> psycopg2.extensions.connection:
    """Connect as the superuser. Raises UnavailableError, without the URL in it."""
    url = running.url(ADMIN, database)
    try:
        return psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)
    except psycopg2.OperationalError:
        message = "the embedded Postgres refuses its own superuser"
        raise UnavailableError(message, hint=f"see its log: {running.log}") from None


def _create_database(running: RunningPostgres) -> None:
    with closing(admin_connection(running, "postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{DATABASE}"')
