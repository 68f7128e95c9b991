"""What runs where, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vault_etl.local.emulator import Emulator
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.state import StackState


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
