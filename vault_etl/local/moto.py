"""Starts moto server, the default emulator: up in a second, fit for a few hundred messages."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

from vault_etl.base.errors import ConfigurationError
from vault_etl.local import INSTALL_HINT
from vault_etl.local.emulator import Emulator, EmulatorName, wait_until_ready
from vault_etl.local.private_files import make_private_directory
from vault_etl.local.processes import spawn

_READY_SECONDS = 60
_SERVER = "vault_etl.local.moto_server"


def start_moto(directory: Path) -> Emulator:
    """Start moto server on a free port of 127.0.0.1, with its files in `directory`.

    Raises ConfigurationError if the `local` extra is not installed, UnavailableError if it does
    not start.
    """
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        message = "the AWS emulator is not installed"
        raise ConfigurationError(message, hint=INSTALL_HINT)
    directory = directory.absolute()
    make_private_directory(directory)
    port_file = directory / "port"
    port_file.unlink(missing_ok=True)
    log = directory / "moto.log"
    process = spawn(
        [sys.executable, "-P", "-m", _SERVER, str(directory)],
        marker=str(directory),
        environment=_environment(),
        directory=directory,
        log=log,
    )
    wait_until_ready(process, port_file.exists, seconds=_READY_SECONDS, log=log)
    return Emulator(
        EmulatorName.MOTO, f"http://127.0.0.1:{port_file.read_text(encoding='utf-8')}", process
    )


def _environment() -> dict[str, str]:
    """As little as it needs: no AWS setting of ours may reach an emulator of AWS."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with contextlib.suppress(KeyError):
        environment["HOME"] = os.environ["HOME"]
    return environment
