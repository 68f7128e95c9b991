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
from vault_etl.local.emulator import Emulator, EmulatorName
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.private_files import read_private_json, write_private_json
from vault_etl.local.processes import BackgroundProcess
from vault_etl.local.provision import Credentials, Provisioned

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


@dataclass(frozen=True, slots=True)
class StackStatus:
    """A look at the stack: `postgres` and `emulator` run now, `recorded` ought to."""

    directory: Path
    postgres: RunningPostgres | None
    emulator: Emulator | None
    recorded: StackState

    @property
    def state(self) -> str:
        """`running`, `broken` (see `problem`) or `stopped`."""
        if self.problem:
            return "broken"
        return "running" if self.emulator else "stopped"

    @property
    def problem(self) -> str | None:
        """Why the stack cannot be used although it was started; None if it can, or was not."""
        expected = self.recorded.emulator
        if expected is None:
            return (
                "Postgres runs, and no AWS emulator was started for it" if self.postgres else None
            )
        if self.emulator is None:
            return (
                f"the AWS emulator ({expected.name}, process {expected.process.pid}) is gone, "
                "and the KMS keys that it held with it"
            )
        if self.postgres is None:
            return "the AWS emulator runs, and Postgres does not"
        return None if self.recorded.is_prepared else "an earlier start was broken off"

    def as_object(self) -> dict[str, object]:
        """For printing; None for what does not run."""
        provisioned = self.recorded.provisioned if self.emulator else None
        return {
            "state": self.state,
            "problem": self.problem,
            "directory": str(self.directory),
            "postgres": f"127.0.0.1:{self.postgres.port}" if self.postgres else None,
            "postgres_log": str(self.postgres.log) if self.postgres else None,
            "emulator": str(self.emulator.name) if self.emulator else None,
            "endpoint": self.emulator.endpoint if self.emulator else None,
            "queue_url": provisioned.queue_url if provisioned else None,
        }
