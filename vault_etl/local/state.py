"""What a stack remembers between commands: `<directory>/stack.json`, mode 0600 (access keys)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.local.aws_session import Credentials
from vault_etl.local.emulator import Emulator, EmulatorName
from vault_etl.local.private_files import read_private_json, write_private_json
from vault_etl.local.processes import BackgroundProcess
from vault_etl.local.provision import Provisioned

_LOCK_SECONDS = 180
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class StackState:
    """How far a stack has come: emulator started, then provisioned, then the database prepared."""

    emulator: Emulator | None = None
    provisioned: Provisioned | None = None
    is_prepared: bool = False

    @property
    def live_emulator(self) -> Emulator | None:
        """The emulator, if its process still runs."""
        return self.emulator if self.emulator and self.emulator.is_running() else None

    def with_provisioned(self, provisioned: Provisioned) -> StackState:
        """The next step."""
        return replace(self, provisioned=provisioned)

    def prepared(self) -> StackState:
        """The last step."""
        return replace(self, is_prepared=True)


class StateFile:
    """Reads and writes the state. A file that is damaged, or another's, is a ConfigurationError."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "stack.json"
        self._lock = directory / "lock"

    @property
    def is_claimed(self) -> bool:
        """Whether a stack was ever started in this folder."""
        return self._lock.exists()

    def read(self) -> StackState:
        """The state; that of a stack never started, if there is no file."""
        content = read_private_json(self._path)
        try:
            return _parse(content)
        except (KeyError, TypeError, ValueError):
            message = f"{self._path} is damaged"
            raise ConfigurationError(message, hint="start afresh: vault-etl local reset") from None

    def write(self, state: StackState) -> None:
        """Replace the state, in one step."""
        write_private_json(self._path, asdict(state))

    def delete(self) -> None:
        """Forget everything."""
        self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time. The lock ends with its process, whatever happens to it.

        Raises UnavailableError if another command holds it for 3 minutes.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor) as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(file.fileno()):
                if time.monotonic() > deadline:
                    message = "another vault-etl local command is at work here"
                    raise UnavailableError(message, hint="wait for it to end, then try again")
                time.sleep(_POLL_SECONDS)
            yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(content: dict[str, Any]) -> StackState:
    emulator, provisioned = content.get("emulator"), content.get("provisioned")
    return StackState(
        emulator=emulator
        and Emulator(
            name=EmulatorName(emulator["name"]),
            endpoint=emulator["endpoint"],
            process=BackgroundProcess(**emulator["process"]),
        ),
        provisioned=provisioned
        and Provisioned(
            queue_url=provisioned["queue_url"],
            dead_letter_url=provisioned["dead_letter_url"],
            key_arns=provisioned["key_arns"],
            credentials={
                role: Credentials(**credentials)
                for role, credentials in provisioned["credentials"].items()
            },
        ),
        is_prepared=bool(content.get("is_prepared")),
    )
