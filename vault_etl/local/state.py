"""The recorded state of a stack, in `<directory>/stack.json` (mode 0600: access keys); its status."""

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
    """The progress of a stack: emulator started, then provisioned, then the database prepared."""

    emulator: Emulator | None = None
    provisioned: Provisioned | None = None
    is_prepared: bool = False
    schema_file: str | None = None
    """The absolute path of the declaration; None for the default."""
    fields: tuple[str, ...] = ()
    """The declared fields, which the roles may open."""
    queues: tuple[str, ...] = ()
    """The names of the queues that the declared events take messages from."""

    @property
    def live_emulator(self) -> Emulator | None:
        """The emulator, if its process still runs."""
        return self.emulator if self.emulator and self.emulator.is_running() else None

    def with_provisioned(self, provisioned: Provisioned) -> StackState:
        """Return the state after the emulator was provisioned."""
        return replace(self, provisioned=provisioned)

    def prepared(self) -> StackState:
        """Return the state after the database was prepared, the last step."""
        return replace(self, is_prepared=True)


class StateFile:
    """Reads and writes the state. Raises ConfigurationError for a damaged file, or another user's."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "stack.json"
        self._lock = directory / "lock"

    @property
    def is_claimed(self) -> bool:
        """True if a stack was ever started in this folder."""
        return self._lock.exists()

    def read(self) -> StackState:
        """Return the state; without a file, the state of a stack that was never started."""
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
        """Delete the recorded state."""
        self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stack's lock: one command at a time. The lock ends with its process in any case.

        Raises UnavailableError if another command holds the lock for 3 minutes.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor) as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(file.fileno()):
                if time.monotonic() > deadline:
                    message = "another vault-etl local command is at work here"
                    raise UnavailableError(message, hint="wait until it ends, then try again")
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
        schema_file=content.get("schema_file"),
        fields=tuple(content.get("fields", ())),
        queues=tuple(content.get("queues", ())),
    )


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The status of a stack: `postgres` and `emulator` run now; `recorded` is what should run."""

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
        """The reason why a started stack cannot be used; None if it can, or was not started."""
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
        return None if self.recorded.is_prepared else "an earlier start was aborted"

    def as_object(self) -> dict[str, object]:
        """Return the status for printing; None for parts that do not run."""
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
