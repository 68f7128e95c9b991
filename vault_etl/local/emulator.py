"""The AWS emulators: SQS, KMS, STS and IAM in a background process, on one loopback address.

moto server is the default: it starts in a second and is fast for a few hundred messages. LocalStack
from PyPI, without Docker, is for longer queues. Its packages conflict with ours, so it gets an
environment of its own on first use:

    <directory>/venv        the environment (about 240 MB), from localstack-requirements.txt with hashes
    <directory>/volume, <directory>/fs, <directory>/cache, <directory>/localstack.log

LocalStack's free edition stores IAM policies and enforces none of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.local import INSTALL_HINT
from vault_etl.local.private_files import make_private_directory
from vault_etl.local.processes import BackgroundProcess, free_port, spawn

REGION = "us-east-1"

_POLL_SECONDS = 0.05


class EmulatorName(StrEnum):
    """The supported emulators."""

    MOTO = "moto"
    LOCALSTACK = "localstack"


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator. All its data, keys included, is in its memory and ends with the process."""

    name: EmulatorName
    endpoint: str
    process: BackgroundProcess

    def is_running(self) -> bool:
        """Tell whether the process still runs."""
        return self.process.is_running()

    def stop(self) -> None:
        """End the process and lose its data. Does nothing if the process has ended."""
        self.process.stop()


def wait_until_ready(
    process: BackgroundProcess, is_ready: Callable[[], bool], *, seconds: float, log: Path
) -> None:
    """Return when `is_ready()` is true. Otherwise end the process and raise UnavailableError."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and process.is_running():
            if is_ready():
                return
            time.sleep(_POLL_SECONDS)
    except BaseException:  # an interrupt too must leave no process behind
        process.stop()
        raise
    ended = not process.is_running()
    process.stop()
    failure = "ended by itself" if ended else f"was not ready after {seconds:.0f} s"
    raise UnavailableError(f"the AWS emulator {failure}", hint=f"see its log: {log}")


_MOTO_READY_SECONDS = 60
_MOTO_SERVER = "vault_etl.local.moto_server"


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
        [sys.executable, "-P", "-m", _MOTO_SERVER, str(directory)],
        marker=str(directory),
        environment=_moto_environment(),
        directory=directory,
        log=log,
    )
    wait_until_ready(process, port_file.exists, seconds=_MOTO_READY_SECONDS, log=log)
    return Emulator(
        EmulatorName.MOTO, f"http://127.0.0.1:{port_file.read_text(encoding='utf-8')}", process
    )


def _moto_environment() -> dict[str, str]:
    """Return a minimal environment: an emulator must not see the user's AWS settings."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with contextlib.suppress(KeyError):
        environment["HOME"] = os.environ["HOME"]
    return environment


_LOCALSTACK_SERVER = Path(__file__).with_name("localstack_server.py")
_LOCALSTACK_REQUIREMENTS = Path(__file__).with_name("localstack-requirements.txt")
_LOCALSTACK_READY_SECONDS = 120
_HEALTH_SECONDS = 5


def start_localstack(directory: Path, notify: Callable[[str], None]) -> Emulator:
    """Start LocalStack on a free port of 127.0.0.1, and make its environment first if needed.

    `notify` is called before each slow step. Raises UnavailableError if the packages cannot be
    fetched, or if LocalStack does not start.
    """
    directory = directory.resolve()
    python = install_localstack(directory, notify)
    port = free_port()
    log = directory / "localstack.log"
    process = spawn(
        # -P: the folder of that file must not be searched for modules
        [str(python), "-P", str(_LOCALSTACK_SERVER)],
        marker=str(python),
        environment=_localstack_environment(directory, port),
        directory=directory,
        log=log,
    )
    wait_until_ready(
        process, lambda: _is_localstack_ready(port), seconds=_LOCALSTACK_READY_SECONDS, log=log
    )
    return Emulator(EmulatorName.LOCALSTACK, f"http://127.0.0.1:{port}", process)


def install_localstack(directory: Path, notify: Callable[[str], None] = lambda _: None) -> Path:
    """Make LocalStack's environment in `directory`, if it does not exist. Return its Python.

    The stamp is written last, so an incomplete environment is made again. Raises UnavailableError.
    """
    make_private_directory(directory)
    venv = directory / "venv"
    python = venv / "bin" / "python"
    stamp = directory / "requirements.sha256"
    wanted = hashlib.sha256(
        _LOCALSTACK_REQUIREMENTS.read_bytes() + sys.version.encode()
    ).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    notify("making an environment for LocalStack, once: about 240 MB, half a minute")
    stamp.unlink(missing_ok=True)
    log = directory / "install.log"
    _run([sys.executable, "-m", "venv", "--clear", str(venv)], log)
    install = [
        "install",
        "--disable-pip-version-check",
        "--no-compile",  # LocalStack imports a part of it, and keeps the bytecode of that part itself
        "--require-hashes",
        "-r",
        str(_LOCALSTACK_REQUIREMENTS),
    ]
    _run([str(python), "-m", "pip", *install], log)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str], log: Path) -> None:
    """Run a command to its end, with the caller's settings of pip, such as a mirror."""
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        raise UnavailableError("LocalStack could not be installed", hint=f"see {log}")


def _localstack_environment(directory: Path, port: int) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "sqs,kms,sts,iam,cloudformation",
        "STRICT_SERVICE_LOADING": "1",
        # Queue URLs by path, since URLs by host name need DNS.
        "SQS_ENDPOINT_STRATEGY": "path",
        "DNS_ADDRESS": "0",
        # Send nothing to other hosts, and fetch nothing from them.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        # Inside a container, LocalStack would keep its files in /var/lib/localstack: two that start together
        # would read each other's half-written TLS certificate, and one would end.
        "OVERRIDE_IN_DOCKER": "0",
        "LOCALSTACK_VOLUME_DIR": str(directory / "volume"),
        "FILESYSTEM_ROOT": str(directory / "fs"),
        # plux keeps its lists of plug-ins there; a shared cache would break other environments.
        "XDG_CACHE_HOME": str(directory / "cache"),
        "TMPDIR": str(_temporary(directory)),
    }


def _temporary(directory: Path) -> Path:
    temporary = directory / "tmp"
    temporary.mkdir(mode=0o700, exist_ok=True)
    return temporary


def _is_localstack_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=_HEALTH_SECONDS)
    try:
        connection.request("GET", "/_localstack/health")
        services = json.loads(connection.getresponse().read())["services"]
    except (OSError, HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
    return {"sqs", "kms", "sts", "iam"} <= set(services)
