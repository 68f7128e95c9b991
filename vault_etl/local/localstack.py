"""Starts a real LocalStack from PyPI, without Docker, for queues too deep for moto.

Its packages conflict with ours, so it gets an environment of its own on first use:

    <directory>/venv        the environment (about 240 MB), from localstack-requirements.txt, hash
    by hash <directory>/volume, <directory>/fs, <directory>/cache, <directory>/localstack.log

The free edition stores IAM policies and enforces none of them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from vault_etl.base.errors import UnavailableError
from vault_etl.local.emulator import Emulator, EmulatorName, wait_until_ready
from vault_etl.local.private_files import make_private_directory
from vault_etl.local.processes import free_port, spawn

_SERVER = Path(__file__).with_name("localstack_server.py")
_REQUIREMENTS = Path(__file__).with_name("localstack-requirements.txt")
_READY_SECONDS = 120
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
        [str(python), "-P", str(_SERVER)],
        marker=str(python),
        environment=_environment(directory, port),
        directory=directory,
        log=log,
    )
    wait_until_ready(process, lambda: _is_ready(port), seconds=_READY_SECONDS, log=log)
    return Emulator(EmulatorName.LOCALSTACK, f"http://127.0.0.1:{port}", process)


def install_localstack(directory: Path, notify: Callable[[str], None] = lambda _: None) -> Path:
    """Make LocalStack's environment in `directory`, if it is not there; its Python.

    The stamp is written last: half an environment is made anew. Raises UnavailableError.
    """
    make_private_directory(directory)
    venv = directory / "venv"
    python = venv / "bin" / "python"
    stamp = directory / "requirements.sha256"
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
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
        str(_REQUIREMENTS),
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


def _environment(directory: Path, port: int) -> dict[str, str]:
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


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=_HEALTH_SECONDS)
    try:
        connection.request("GET", "/_localstack/health")
        services = json.loads(connection.getresponse().read())["services"]
    except (OSError, HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
    return {"sqs", "kms", "sts", "iam"} <= set(services)
