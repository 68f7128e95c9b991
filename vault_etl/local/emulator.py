"""An AWS emulator that runs in the background: SQS, KMS, STS and IAM on one address of loopback."""

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
    """The emulators that there are."""

    MOTO = "moto"
    LOCALSTACK = "localstack"


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator. What it holds, keys included, lives in its memory and ends with it."""

    name: EmulatorName
    endpoint: str
    process: BackgroundProcess

    def is_running(self) -> bool:
        """Whether its process still runs."""
        return self.process.is_running()

    def stop(self) -> None:
        """End it, and everything it holds. Does nothing if it is gone."""
        self.process.stop()


def wait_until_ready(
    process: BackgroundProcess, is_ready: Callable[[], bool], *, seconds: float, log: Path
) -> None:
    """Return once `is_ready()` says so. Otherwise end the process and raise UnavailableError."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and process.is_running():
            if is_ready():
                return
            time.sleep(_POLL_SECONDS)
    except BaseException:  # an interrupt too: nothing may be left behind
        process.stop()
        raise
    ended = not process.is_running()
    process.stop()
    what = "ended by itself" if ended else f"was not ready after {seconds:.0f} s"
    raise UnavailableError(f"the AWS emulator {what}", hint=f"see its log: {log}")


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


_LOCALSTACK_SERVER = Path(__file__).with_name("localstack_server.py")
_LOCALSTACK_REQUIREMENTS = Path(__file__).with_name("localstack-requirements.txt")
_LOCALSTACK_READY_SECONDS = 120
_HEALTH_SECONDS = 5


def start_localstack(directory: Path, notify: Callable[[str], None]) -> Emulator:
    """Start LocalStack on a free port of 127.0.0.1, making its environment first if need be.

    `notify` is told before anything that takes long. Raises UnavailableError if the packages
    cannot be fetched, or if it does not start.
    """
    directory = directory.resolve()
    python = install_localstack(directory, notify)
    port = free_port()
    log = directory / "localstack.log"
    process = spawn(
        # -P: beside that file stand modules of the names `localstack` and `moto`
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
    """Make LocalStack's environment in `directory`, if it is not there; its Python.

    The stamp is written last: half an environment is made anew. Raises UnavailableError.
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
        "--require-hashes",
        "-r",
        str(_LOCALSTACK_REQUIREMENTS),
    ]
    _run([str(python), "-m", "pip", *install], log)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str], log: Path) -> None:
    """Run to the end, with the caller's own settings of pip, such as a mirror."""
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
        # Queue URLs by path: those by host name need DNS.
        "SQS_ENDPOINT_STRATEGY": "path",
        "DNS_ADDRESS": "0",
        # Nothing is told to, or fetched from, anybody.
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "LOCALSTACK_VOLUME_DIR": str(directory / "volume"),
        "FILESYSTEM_ROOT": str(directory / "fs"),
        # plux keeps lists of plug-ins there, which other environments would break.
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
